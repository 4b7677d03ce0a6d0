package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"microtome/bench/synthetic"
	"microtome/sink"
	"microtome/slide"
	"microtome/slide/slidetest"
	"microtome/unet"
)

// faulty is microtome with slides that do not stay as they are: those called hang stop answering, those called vanish are
// removed, when the network's first tiles are read from them.
func faulty() {
	openSlide = func(path string, cfg slide.Config) (*slide.Slide, error) {
		s, err := slide.Open(path, cfg)
		if err != nil || !strings.Contains(path, "hang") && !strings.Contains(path, "vanish") {
			return s, err
		}
		return slide.New(&strange{Slide: s, path: path}, cfg), nil
	}
	os.Exit(run(os.Args[1:]))
}

// A strange slide is read from another one, until something happens to it.
type strange struct {
	*slide.Slide
	path  string
	reads atomic.Int64 // of level 0
}

func (s *strange) ReadBlock(ctx context.Context, level, x, y int, dst []byte) error {
	l := s.Info().Levels[level]
	blocks := (l.Size.X + l.Block.X - 1) / l.Block.X * ((l.Size.Y + l.Block.Y - 1) / l.Block.Y)
	if n := s.reads.Add(1); level == 0 && n > int64(blocks)+1 { // once for the overlay, and on
		if strings.Contains(s.path, "hang") {
			<-make(chan struct{})
		}
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	v, err := s.AtLevel(level)
	if err != nil {
		return err
	}
	at := image.Pt(x*l.Block.X, y*l.Block.Y)
	err = v.Read(ctx, dst, image.Rectangle{Min: at, Max: at.Add(l.Block)}.Intersect(image.Rectangle{Max: l.Size}))
	var inner *slide.Error // which will be said of this slide, too
	if errors.As(err, &inner) {
		return inner.Err
	}
	return err
}

// TestBadSlides: a folder of 30 slides, of which 8 are bad in 8 ways. The others are as they are without those, each bad
// one is told of with its cause, and nothing else is left.
func TestBadSlides(t *testing.T) {
	needRuntime(t)
	dir, err := os.MkdirTemp("", "bad") // t.TempDir lies in folders that are closed to others
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, data []byte) { check(os.WriteFile(at(name), data, 0o755)) }
	read := func(name string) []byte {
		data, err := os.ReadFile(name)
		check(err)
		return data
	}
	for _, d := range []string{"good", "cohort", "."} {
		check(os.MkdirAll(at(d), 0o777))
		check(os.Chmod(at(d), 0o777)) // others may remove the slide that vanishes, and write results
	}

	var good []string
	for i := range 22 {
		name := fmt.Sprintf("good%02d.svs", i)
		good = append(good, name)
		check(synthetic.WriteSlide(t.Context(), at("good/"+name), at("truth.tif"), synthetic.Config{Size: 200 + 23*i, Seed: uint64(i)}))
		check(os.Link(at("good/"+name), at("cohort/"+name)))
	}
	check(synthetic.WriteSlide(t.Context(), at("large.svs"), at("truth.tif"), synthetic.Config{Size: 2048, Seed: 30}))
	large := read(at("large.svs"))
	write("cohort/truncated.svs", large[:len(large)*2/3])
	damaged := slices.Clone(large)
	for i := len(large) / 4; i < len(large)/4+20_000; i++ { // tiles of level 0 are among them
		damaged[i] = 0xff
	}
	write("cohort/damaged.svs", damaged)
	write("cohort/empty.svs", nil)
	write("cohort/text.svs", []byte("the slides are on the other disk\n"))
	writePNG(t, at("cohort/picture.svs"), 1)
	write("cohort/closed.svs", large)
	check(os.Chmod(at("cohort/closed.svs"), 0))
	write("cohort/hang.svs", large)
	write("cohort/vanish.svs", large)

	bad := map[string]struct{ stage, cause string }{
		"truncated": {"open", "truncated"},
		"damaged":   {"overlay", "cannot be decoded, the file may be damaged: copy it again"},
		"empty":     {"open", "the file is empty: copy it again"},
		"text":      {"open", "not a slide"},
		"picture":   {"open", "this is no slide of a scanner but a picture (PNG): give the file the ending of what it is"},
		"closed":    {"open", "permission denied: make the file readable for this user"},
		"hang":      {"read", "no answer for 4s: is the disk or the network share still there?"},
		"vanish":    {"read", "the file has vanished while it was read: run again when it is there"},
	}

	library, _, _ := unet.Libraries(unet.Config{})
	write("lib.so", read(library))
	program, err := exec.LookPath("faulty")
	check(err)
	write("faulty", read(program))
	var stderr bytes.Buffer
	segment := func(out, slides string, args ...string) (exit int) {
		stderr.Reset()
		cmd := exec.Command(at("faulty"), append([]string{"segment", slides, "-o", out, "--model", "haematoxylin", "--level", "0", "--memory", "320MiB", "--read-timeout", "4s", "--tissue", "off"}, args...)...)
		cmd.Dir, cmd.Stderr = dir, &stderr
		cmd.Env = []string{"ONNXRUNTIME_LIB=" + at("lib.so"), "PATH=" + os.Getenv("PATH")}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if os.Getuid() == 0 {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		}
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(-cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("a process is left: %v", err)
		}
		return cmd.ProcessState.ExitCode()
	}
	if exit := segment("reference", "good", "--slides", "1", "--workers", "1"); exit != exitOK {
		t.Fatalf("exit code %d, it said:\n%s", exit, stderr.String())
	}
	exit := segment("out", "cohort")
	if exit != exitSomeFailed {
		t.Errorf("exit code %d, want %d; it said:\n%s", exit, exitSomeFailed, stderr.String())
	}
	if os.Getenv("SHOW") != "" {
		t.Logf("%s\n%s\n%s", read(at("out/failures.csv")), read(at("out/cohort.csv")), stderr.String())
	}

	table := func(name string) (rows []map[string]string) {
		all, err := csv.NewReader(bytes.NewReader(read(at("out/" + name)))).ReadAll()
		check(err)
		for _, cells := range all[1:] {
			row := map[string]string{}
			for i, cell := range cells {
				row[all[0][i]] = cell
			}
			rows = append(rows, row)
		}
		return rows
	}
	failures := table("failures.csv")
	if len(failures) != len(bad) {
		t.Errorf("%d failures, want %d", len(failures), len(bad))
	}
	for _, f := range failures {
		name := strings.TrimSuffix(filepath.Base(f["slide"]), ".svs")
		if f["slide"] != at("cohort/"+name+".svs") {
			t.Errorf("slide %s", f["slide"])
		}
		want := bad[name]
		delete(bad, name)
		if f["stage"] != want.stage || want.cause == "" || !strings.Contains(f["error"], want.cause) || strings.ContainsAny(f["error"], "\n\r") {
			t.Errorf("%q, want stage %s and %q", f, want.stage, want.cause)
		}
		if tile := f["tile"]; (tile != "") != (want.stage == "read") {
			t.Errorf("%s: tile %q", name, tile)
		}
	}
	for name := range bad {
		t.Errorf("%s is not among the failures", name)
	}

	rows := table("cohort.csv")
	if len(rows) != len(good) {
		t.Fatalf("%d slides in cohort.csv, want %d", len(rows), len(good))
	}
	for i, row := range rows {
		name := strings.TrimSuffix(good[i], ".svs")
		if filepath.Base(row["slide"]) != good[i] || row["result"] != filepath.Join("out", name) || row["status"] != "done" {
			t.Errorf("row %d is %v, want that of %s", i, row, name)
		}
		mask := at(filepath.Join("out", name, "mask.tif"))
		if !bytes.Equal(read(mask), read(at(filepath.Join("reference", name, "mask.tif")))) {
			t.Errorf("%s: mask.tif is not that of a run of good slides alone", name)
		}
		labels, size := labelsOf(t, mask)
		value := func(column string) float64 {
			v, err := strconv.ParseFloat(row[column], 64)
			check(err)
			return v
		}
		if row["width"] != strconv.Itoa(size.X) || row["height"] != strconv.Itoa(size.Y) || row["unread_px"] != "0" {
			t.Errorf("%s: %v of a mask of %v", name, row, size)
		}
		s, err := sink.ReadSummary(at(filepath.Join("out", name, "summary.json")))
		check(err)
		for _, class := range s.Classes {
			n := bytes.Count(labels, []byte{byte(class.Label)})
			if int64(n) != class.Pixels {
				t.Errorf("%s: %d pixels of %s in the mask, %d in the summary", name, n, class.Name, class.Pixels)
			}
			if class.Label == 0 {
				continue
			}
			mpp := value("mpp")
			if value(class.Name+"_px") != float64(n) || math.Abs(value(class.Name+"_mm2")-float64(n)*mpp*mpp/1e6) > 1e-5*value(class.Name+"_mm2") {
				t.Errorf("%s: %v, %d pixels of %s in the mask", name, row, n, class.Name)
			}
		}
	}

	var r sink.Run
	check(json.Unmarshal(read(at("out/run.json")), &r))
	if want := (sink.RunSlides{Total: 30, Done: 22, Failed: 8}); r.Slides != want || r.Status != "some failed" {
		t.Errorf("run.json counts %+v, %s", r.Slides, r.Status)
	}
	want := []string{"cohort.csv", "failures.csv", "run.json"}
	for _, name := range good {
		for _, file := range []string{"mask.tif", "overlay.png", "summary.json"} {
			want = append(want, filepath.Join(strings.TrimSuffix(name, ".svs"), file))
		}
	}
	slices.Sort(want)
	if files := filesIn(t, at("out")); !slices.Equal(files, want) {
		t.Errorf("there are %q, want %q", files, want)
	}

	// A second run keeps what is done and says the same of the rest; what has been repaired is done.
	write("cohort/vanish.svs", large)
	check(os.Rename(at("cohort/vanish.svs"), at("cohort/came.svs")))
	if exit := segment("out", "cohort"); exit != exitSomeFailed {
		t.Errorf("exit code %d, want %d; it said:\n%s", exit, exitSomeFailed, stderr.String())
	}
	check(json.Unmarshal(read(at("out/run.json")), &r))
	if want := (sink.RunSlides{Total: 30, Done: 1, Kept: 22, Failed: 7}); r.Slides != want {
		t.Errorf("the second time run.json counts %+v", r.Slides)
	}
	if n, m := len(table("failures.csv")), len(table("cohort.csv")); n != 7 || m != 23 {
		t.Errorf("the second time there are %d failures and %d slides", n, m)
	}
}

// labelsOf reads level 0 of a mask through libvips.
func labelsOf(t *testing.T, path string) (labels []byte, size image.Point) {
	t.Helper()
	rgb, size := slidetest.ReadFile(t, path)
	for i := 0; i < len(rgb); i += 3 {
		labels = append(labels, rgb[i])
	}
	return labels, size
}

// filesIn returns the files below a folder, in order; an empty folder counts as a file.
func filesIn(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		entries, _ := os.ReadDir(p)
		if !d.IsDir() || len(entries) == 0 {
			rel, err := filepath.Rel(dir, p)
			files = append(files, rel)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}
