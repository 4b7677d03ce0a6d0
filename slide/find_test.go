package slide_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"microtome/slide"
)

// tree makes files and returns the folder that holds them. A name with " -> " is a link, one with "=" has
// content.
func tree(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		name, target, link := strings.Cut(f, " -> ")
		name, content, _ := strings.Cut(name, "=")
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		var err error
		if link {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// find returns what Find gives below dir, with "!" before what comes with an error.
func find(cfg slide.FindConfig, dir string, names ...string) []string {
	var paths, got []string
	for _, n := range names {
		paths = append(paths, filepath.Join(dir, n))
	}
	for path, err := range slide.Find(cfg, paths...) {
		path, _ = filepath.Rel(dir, path)
		if err != nil {
			path = "!" + path
		}
		got = append(got, filepath.ToSlash(path))
	}
	return got
}

// check compares what Find gives with what is wanted, names between spaces.
func check(t *testing.T, cfg slide.FindConfig, dir, ask, want string) {
	t.Helper()
	if got := find(cfg, dir, strings.Fields(ask)...); !slices.Equal(got, strings.Fields(want)) {
		t.Errorf("find %s %+v: %v, want %s", ask, cfg, got, want)
	}
}

func TestFind(t *testing.T) {
	dir := tree(t,
		"b.svs", "a.SVS", "notes.txt", ".hidden.svs", // capitals count, text and hidden files do not
		"deep/er/c.ndpi", ".trash/d.svs",
		"m.mrxs", "m/Slidedat.ini", "m/thumb.png", // the data of an MRXS file
		"N.MRXS", "n/thumb.png", "o/o.mrxs/x.svs", "o/o/y.svs", // capitals, and a folder that is named like one
		"out/b/mask.tif", "out/b/summary.json", "out/b/overlay.png", // results are not slides
		"empty/readme.md",
	)
	for _, c := range []struct{ ask, want string }{
		{".", "N.MRXS a.SVS b.svs deep/er/c.ndpi m.mrxs o/o/y.svs o/o.mrxs/x.svs"},
		{"b.svs", "b.svs"},
		{"notes.txt", "notes.txt"}, // what a person names is tried
		{"m out/b", "m/thumb.png out/b/mask.tif out/b/overlay.png"},
		{"deep b.svs", "deep/er/c.ndpi b.svs"},
		{"deep . deep/er b.svs", "deep/er/c.ndpi N.MRXS a.SVS b.svs m.mrxs o/o/y.svs o/o.mrxs/x.svs"}, // each once
		{"empty", "!empty"},
		{"nowhere b.svs", "!nowhere b.svs"},
	} {
		check(t, slide.FindConfig{}, dir, c.ask, c.want)
	}
}

// TestFindTakesHamamatsuSetsOnce has key files as the scanner writes them: with the folder's own order of
// files, capitals that differ, and names that are not of this folder.
func TestFindTakesHamamatsuSetsOnce(t *testing.T) {
	vms := "[Virtual Microscope Specimen]\r\nNoLayers=1\r\nNoJpegColumns=2\r\nImageFile=A.JPG\r\nImageFile(1,0)=a(1,0).jpg\r\n" +
		"ImageFile(0,1,2) = a 2.jpg\r\nMapFile=a_map2.jpg\r\nOptimisationFile=a.opt\r\nMacroImage=a_macro.jpg\r\nAuthCode=other.jpg\r\nImageFile(9,9)=up/b.jpg\r\n"
	vmu := "[Uncompressed Virtual Microscope Specimen]\nImageFile=big.ngr\nMapFile=map.jpg\nImageFile(0,1)=set.vmu\nMacroImage="
	dir := tree(t, "a.jpg", "a(1,0).jpg", "a 2.jpg", "a_map2.jpg", "a.opt", "a_macro.jpg", "b.jpg", "other.jpg", "z.VMS="+vms,
		"u/set.vmu="+vmu, "u/big.ngr", "u/map.jpg", "u/mapping.jpg",
		"not/here/a.jpg", "hide/.x.vms="+vms, "hide/a.jpg",
	)
	check(t, slide.FindConfig{}, dir, ".", "b.jpg hide/a.jpg not/here/a.jpg other.jpg u/mapping.jpg u/set.vmu z.VMS")
	check(t, slide.FindConfig{Include: []string{"*.jpg", "*.ngr"}, Exclude: []string{"hide", "not"}}, dir, ".", "b.jpg other.jpg u/mapping.jpg")
	check(t, slide.FindConfig{Exclude: []string{"*.vms", "hide", "not", "u"}}, dir, ".", "b.jpg other.jpg")
	check(t, slide.FindConfig{}, dir, "a.jpg u/map.jpg", "a.jpg u/map.jpg") // a person knows
}

// A file may have the extension of a key file and be anything.
func FuzzKeyFile(f *testing.F) {
	f.Add("[Virtual Microscope Specimen]\nImageFile=a.jpg\nImageFile(1,0)=b.jpg\nMapFile=a.jpg\n")
	f.Add("ImageFile(=\xff\nmapfile = = \n\nOptimisationFile")
	f.Add("\xef\xbb\xbfImageFile=a.jpg\rMapFile=../../b.jpg")
	dir := f.TempDir()
	for _, name := range []string{"a.jpg", "b.jpg"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, content string) {
		if err := os.WriteFile(filepath.Join(dir, "k.vms"), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		got := find(slide.FindConfig{}, dir, ".")
		if !slices.Contains(got, "k.vms") {
			t.Fatalf("%q: %v", content, got)
		}
		for _, name := range []string{"a.jpg", "b.jpg"} { // what is nowhere named is nobody's part
			if !strings.Contains(strings.ToLower(content), name) && !slices.Contains(got, name) {
				t.Fatalf("%q hides %s: %v", content, name, got)
			}
		}
	})
}

func TestFindBoundsKeyFiles(t *testing.T) {
	dir := tree(t, "a.jpg", "b.jpg", "k.vms=ImageFile=a.jpg\n"+strings.Repeat("#\n", 1<<19)+"ImageFile(1,0)=b.jpg\n")
	check(t, slide.FindConfig{}, dir, ".", "b.jpg k.vms")
}

func TestFindGlobs(t *testing.T) {
	dir := tree(t, "a.svs", "b.TIF", "c.bmp", "notes.txt", "x[1].svs",
		"siteA/a.svs", "siteA/a_label.tif", "siteA/old/b.svs", "siteA/old/er/c.svs", "siteB/d.ndpi", "siteB/notes.txt",
	)
	for _, c := range []struct{ include, exclude, want string }{
		{"*.svs", "", "a.svs siteA/a.svs siteA/old/b.svs siteA/old/er/c.svs x[1].svs"}, // the name, at any depth
		{"*.SVS", "old", "a.svs siteA/a.svs x[1].svs"},
		{"*.tif", "", "b.TIF siteA/a_label.tif"},
		{"*.tif *.ndpi", "*_LABEL.*", "b.TIF siteB/d.ndpi"},
		{"*.bmp", "", "c.bmp"},           // another extension
		{"c*", "", "siteA/old/er/c.svs"}, // an open end takes slides only
		{"siteB/**", "", "siteB/d.ndpi"},
		{"siteB/*.txt", "", "siteB/notes.txt"}, // a closed one, anything
		{"siteA/*", "", "siteA/a.svs siteA/a_label.tif"},
		{"./*.svs", "", "a.svs x[1].svs"}, // only here
		{"/*.svs", "", "a.svs x[1].svs"},
		{"**/*.svs", "siteA/old/", "a.svs siteA/a.svs x[1].svs"},
		{"*.{bmp,ndpi}", "", "c.bmp siteB/d.ndpi"},
		{"x\\[1\\].svs", "", "x[1].svs"},
		{"", "siteA", "a.svs b.TIF siteB/d.ndpi x[1].svs"},
		{"", "siteA/**", "a.svs b.TIF siteB/d.ndpi x[1].svs"},
		{"", "**/old/** x*", "a.svs b.TIF siteA/a.svs siteA/a_label.tif siteB/d.ndpi"},
		{"", "old/*", "a.svs b.TIF siteA/a.svs siteA/a_label.tif siteA/old/b.svs siteA/old/er/c.svs siteB/d.ndpi x[1].svs"},
		{"*.czi", "", "!."},
		{"", "*", "!."},
		{".svs", "", "!."},
	} {
		cfg := slide.FindConfig{Include: strings.Fields(c.include), Exclude: strings.Fields(c.exclude)}
		if err := cfg.Validate(); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
		check(t, cfg, dir, ".", c.want)
	}
	check(t, slide.FindConfig{Include: []string{"*.bmp"}, Exclude: []string{"*"}}, dir, "a.svs notes.txt", "a.svs notes.txt")
	check(t, slide.FindConfig{Include: []string{"old/*.svs"}}, dir, "siteA", "siteA/old/b.svs") // below the folder that is given
}

func TestFindConfigValidate(t *testing.T) {
	cfg := slide.FindConfig{Include: []string{"*.svs", "[a", "../x/*"}, Exclude: []string{"", "{a,b", `c\`, "./"}}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("malformed patterns pass")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{`--include "[a"`, `--include "../x/*"`, `--exclude ""`, `--exclude "{a,b"`, `--exclude "c\\"`, `--exclude "./"`}
	if len(lines) != len(want) {
		t.Fatalf("%q", lines)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]+": ") {
			t.Errorf("%s, want %s", line, want[i])
		}
	}
}

func TestFindFollowsLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege")
	}
	away := tree(t, "far/x.svs", "far/sub/y.svs")
	dir := tree(t,
		"b/real.svs", "b/up -> ..", "b/self -> .", // loops
		"a.svs -> b/real.svs", "z.svs -> b/real.svs", // the first way
		"c -> b", "far -> "+away+"/far", "far2 -> "+away+"/far", "gone.svs -> nowhere", "me.svs -> me.svs",
		"m -> "+away, "m.mrxs", "k.vms=ImageFile=p.jpg", "p.jpg -> "+away+"/far/x.svs",
	)
	check(t, slide.FindConfig{}, dir, ".", "a.svs far/sub/y.svs far/x.svs !gone.svs k.vms m.mrxs !me.svs")
	check(t, slide.FindConfig{}, dir, "b c gone.svs z.svs", "b/real.svs b/up/far/sub/y.svs b/up/far/x.svs !b/up/gone.svs b/up/k.vms b/up/m.mrxs !b/up/me.svs")
	check(t, slide.FindConfig{Exclude: []string{"gone.*", "me.*", "far?"}}, dir, ".", "a.svs far/sub/y.svs far/x.svs k.vms m.mrxs")
	// A pattern of a way finds what lies there, also where another way came first.
	check(t, slide.FindConfig{Include: []string{"far2/**"}, Exclude: []string{"gone.svs", "me.svs"}}, dir, ".", "far2/sub/y.svs far2/x.svs")
}

func TestFindGoesOnAfterWhatItCannotRead(t *testing.T) {
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("everything can be read here")
	}
	dir := tree(t, "a.svs", "b/c.svs", "d.svs")
	if err := os.Chmod(filepath.Join(dir, "b"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "b"), 0o777) })
	check(t, slide.FindConfig{}, dir, ". b", "a.svs !b d.svs")
	for _, err := range slide.Find(slide.FindConfig{}, filepath.Join(dir, "b")) {
		var e *slide.Error
		if !errors.As(err, &e) || !errors.Is(err, fs.ErrPermission) {
			t.Error(err)
		}
	}
}

// What is no file could be read for ever.
func TestFindPassesOverWhatIsNoFile(t *testing.T) {
	dir := tree(t, "a.svs")
	l, err := net.Listen("unix", filepath.Join(dir, "b.svs"))
	if err != nil {
		t.Skip("no sockets here: ", err)
	}
	defer l.Close()
	check(t, slide.FindConfig{}, dir, ".", "a.svs")
}

func TestFindStopsWhenAsked(t *testing.T) {
	n := 0
	for range slide.Find(slide.FindConfig{}, tree(t, "a.svs", "b.svs", "c.svs")) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d slides after the first break", n)
	}
}

// TestFindWalksWhileItGives has the tree change as it is walked: what comes later is seen as it is then.
func TestFindWalksWhileItGives(t *testing.T) {
	dir := tree(t, "a.svs", "b/c.svs", "d/e.svs")
	var got []string
	for p := range slide.Find(slide.FindConfig{}, dir) {
		got = append(got, filepath.Base(p))
		if len(got) == 1 {
			if err := os.Remove(filepath.Join(dir, "b", "c.svs")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !slices.Equal(got, []string{"a.svs", "e.svs"}) {
		t.Error(got)
	}
}

// TestFindTakesEachSlideOnce makes any tree with links any way, also in circles, and compares with what the
// definition says: a slide that a way of plain folders leads to comes once, and nothing else does.
func TestFindTakesEachSlideOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege")
	}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "find")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		dir, _ = filepath.EvalSymlinks(dir)
		folders := []string{"."}
		for i := range rapid.IntRange(0, 5).Draw(t, "folders") {
			f := path.Join(rapid.SampledFrom(folders).Draw(t, "in"), fmt.Sprintf("f%d", i))
			if err := os.Mkdir(filepath.Join(dir, f), 0o777); err != nil {
				t.Fatal(err)
			}
			folders = append(folders, f)
		}
		var slides []string
		for i := range rapid.IntRange(1, 6).Draw(t, "slides") {
			s := path.Join(rapid.SampledFrom(folders).Draw(t, "in"), fmt.Sprintf("s%d.svs", i))
			if err := os.WriteFile(filepath.Join(dir, s), nil, 0o666); err != nil {
				t.Fatal(err)
			}
			slides = append(slides, s)
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "links") {
			in, ext := rapid.SampledFrom(folders).Draw(t, "in"), ""
			target := rapid.SampledFrom(append(slices.Clone(folders), slides...)).Draw(t, "to")
			if strings.HasSuffix(target, ".svs") {
				ext = ".svs"
			}
			name := path.Join(in, rapid.SampledFrom([]string{"a", "g", "z"}).Draw(t, "name")+fmt.Sprint(i)+ext)
			if err := os.Symlink(filepath.Join(dir, target), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		cfg := rapid.SampledFrom([]slide.FindConfig{{}, {Include: []string{"**/*.svs"}}, {Exclude: []string{"no/such"}}}).Draw(t, "cfg")
		var got []string
		for p, err := range slide.Find(cfg, dir) {
			full, errLink := filepath.EvalSymlinks(p)
			if err != nil || errLink != nil {
				t.Fatal(p, err, errLink)
			}
			full, _ = filepath.Rel(dir, full)
			got = append(got, filepath.ToSlash(full))
		}
		slices.Sort(got)
		slices.Sort(slides)
		if !slices.Equal(got, slides) {
			t.Fatalf("found %v of %v", got, slides)
		}
	})
}
