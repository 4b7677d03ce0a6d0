package pipeline

import (
	"context"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microtome/slide"
)

const drawnAll = `{"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":[[[0,0],[400,0],[400,400],[0,400],[0,0]]]}}`

// TestTissueFileIsTheOneThatWasRead: summary.json names the file that the mask follows, whatever becomes of it later.
func TestTissueFileIsTheOneThatWasRead(t *testing.T) {
	f := newFolder(t, image.Pt(200, 150), "a.svs")
	file := filepath.Join(f.dir, "a.geojson")
	if err := os.WriteFile(file, []byte(drawnAll), 0o666); err != nil {
		t.Fatal(err)
	}
	p, seen := f.pipeline(t, &fakeModel{}, func(c *Config) { c.Tissue = file })
	sub, err := p.open(Item{Path: f.paths[0]}, p.Model)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	want, err := sub.tissueKey(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	seen.onTile = func() {
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(drawnAll, "400", "40")), 0o666); err != nil {
			t.Error(err)
		}
	}
	if err := p.Run(t.Context(), f.items); err != nil {
		t.Fatal(err)
	}
	if got := keptTissue(seen.ends[f.paths[0]].Summary.Tissue); got != want {
		t.Errorf("the summary has %s, the mask is of %s", got, want)
	}
}

// TestScopeIsInTheJournal: tiles of an interrupted run are of no use where the network was asked about others.
func TestScopeIsInTheJournal(t *testing.T) {
	f := newFolder(t, image.Pt(600, 600), "a.svs")
	file := filepath.Join(f.dir, "a.geojson")
	header := func(outline string) string {
		if err := os.WriteFile(file, []byte(outline), 0o666); err != nil {
			t.Fatal(err)
		}
		p, _ := f.pipeline(t, &fakeModel{}, func(c *Config) { c.Tissue = file })
		sub, err := p.open(Item{Path: f.paths[0]}, p.Model)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		if err := p.findTissue(context.Background(), sub); err != nil {
			t.Fatal(err)
		}
		sub.drawn = "the same" // what is found depends on more than the choice
		h, err := p.journalHeader(sub, nil)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(h.Arguments, "\n")
	}
	whole, corner := header(drawnAll), header(strings.ReplaceAll(drawnAll, "400", "40"))
	if whole == corner {
		t.Error("journals of other tissue have the same header")
	}
	if again := header(drawnAll); again != whole {
		t.Errorf("the same tissue has the headers\n%s\nand\n%s", whole, again)
	}
	for name, version := range slide.Libraries() {
		if !strings.Contains(whole, name+":"+version) {
			t.Errorf("%s %s is not in the header\n%s", name, version, whole)
		}
	}
}
