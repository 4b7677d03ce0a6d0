package slide

import (
	"bytes"
	"io"
	"os"
	"strings"
)

// maxKeyFile is more than a key file of any slide takes: a line for each of some hundred images.
const maxKeyFile = 1 << 20

// readKeyFile returns the names of the files that a Hamamatsu key file says its slide is made of. A key file
// that cannot be read names none: opening it as a slide tells why.
func readKeyFile(path string) []string {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil // a pipe would never end
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil
	}
	return parseKeyFile(b)
}

// parseKeyFile returns the file names in a key file, an INI text with lines such as these:
//
//	ImageFile=a.jpg
//	ImageFile(1,0)=a(1,0).jpg
//	MapFile=a_map2.jpg
//	OptimisationFile=a.opt
//	MacroImage=a_macro.jpg
//
// Names that lead out of the folder are left out.
func parseKeyFile(b []byte) []string {
	var names []string
	for line := range bytes.Lines(b) {
		key, value, _ := strings.Cut(string(line), "=")
		key, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(key)), "(")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "imagefile", "mapfile", "optimisationfile", "macroimage":
			if value != "" && !strings.ContainsAny(value, `/\`) {
				names = append(names, value)
			}
		}
	}
	return names
}
