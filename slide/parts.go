package slide

import (
	"os"
	"path/filepath"
	"strings"
)

// Parts returns the paths of the files that the slide at path is made of beside that one: those in the data folder of an
// MRXS file, and those that a Hamamatsu key file names, whether they are there or not. Most slides have none.
func Parts(path string) (parts []string) {
	ext := filepath.Ext(path)
	switch dir := filepath.Dir(path); strings.ToLower(ext) {
	case ".mrxs":
		data := strings.TrimSuffix(path, ext)
		entries, err := os.ReadDir(data)
		if err != nil {
			return nil // opening it tells why
		}
		for _, e := range entries {
			parts = append(parts, filepath.Join(data, e.Name()))
		}
	case ".vms", ".vmu":
		for _, name := range readKeyFile(path) {
			parts = append(parts, filepath.Join(dir, name))
		}
	}
	return parts
}
