package results

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// All plots of a sweep are drawn, whole files, the same twice; of one run only the stages are, and the others say why not.
func TestPlots(t *testing.T) {
	draw := func(results []Result) (files map[string][]byte, why map[string]string) {
		files, why = map[string][]byte{}, map[string]string{}
		dir := t.TempDir()
		for _, p := range Plots(results) {
			if p.Why != "" {
				why[p.Name] = p.Why
				continue
			}
			paths, err := p.Write(dir, Formats())
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				files[strings.TrimPrefix(path, dir+"/")] = data
			}
		}
		return files, why
	}
	all := sweep()
	first, why := draw(all)
	if keep := os.Getenv("KEEP_PLOTS"); keep != "" {
		for name, data := range first {
			if err := os.WriteFile(keep+"/"+name, data, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(first) != 8 || why["stages"] == "" {
		t.Errorf("%d files of a sweep, want 8 and no stages, which are too many: %v", len(first), why)
	}
	again, _ := draw(all)
	for name, data := range first {
		if !bytes.Equal(data, again[name]) {
			t.Errorf("%s has other bytes the second time", name)
		}
		if strings.HasSuffix(name, "png") {
			if im, err := png.Decode(bytes.NewReader(data)); err != nil || im.Bounds().Dx() != 768 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		for d := xml.NewDecoder(bytes.NewReader(data)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if title := map[string]string{"cost-by-size.svg": "CPU s/Mpx", "workers.svg": "ideal", "tiles.svg": "theory"}[name]; !bytes.Contains(data, []byte(title)) {
			t.Errorf("%s does not say %q", name, title)
		}
	}
	one, why := draw(all[:1])
	if _, ok := one["stages.svg"]; !ok || len(one) != 2 || len(why) != 4 {
		t.Errorf("of one run: %d files, %v", len(one), why)
	}
}

// Curves hold runs that differ in their axis alone.
func TestTraces(t *testing.T) {
	all, _ := group(sweep())
	m, _ := ParseMetric("mpx_per_s")
	found := traces(all, "workers", func(s Setting) float64 { return float64(s.Workers) }, m)
	if len(found) != 1 {
		t.Fatalf("%d curves over workers, want one: size 2048, tile 512", len(found))
	}
	var xs []float64
	for _, p := range found[0].points {
		xs = append(xs, p.X)
	}
	if !slices.Equal(xs, []float64{1, 2, 4}) || found[0].first.setting.Width != 2048 || found[0].first.setting.Tile != 512 {
		t.Errorf("the curve %q has %v", found[0].name, xs)
	}
}
