package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestShardParse(t *testing.T) {
	for _, s := range []string{"1/1", "3/8", "8/8", "1/1048576"} {
		if shard, err := ParseShard(s); err != nil || shard.String() != s {
			t.Errorf("%s: %v, %v", s, shard, err)
		}
	}
	for _, s := range []string{"", "3", "/", "0/8", "9/8", "-1/8", "+1/8", "1/8/2", " 1/8", "1/", "/8", "a/b", "1/0", "0/0", "1/1048577", "1/99999999999999999999", "1_0/20"} {
		if shard, err := ParseShard(s); err == nil || shard != (Shard{}) || !strings.HasPrefix(err.Error(), fmt.Sprintf("--shard %q: give i/n", s)) {
			t.Errorf("%q: %v, %v", s, shard, err)
		}
	}
	if s := (Shard{}).String(); s != "1/1" {
		t.Error(s)
	}
}

func FuzzParseShard(f *testing.F) {
	for _, s := range []string{"3/8", "0/1", "-1/2", "1/1048577", "1//2", "٣/٨"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		shard, err := ParseShard(s)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q", err)
			}
			return
		}
		again, err := ParseShard(shard.String())
		if shard.I < 1 || shard.I > shard.N || err != nil || again != shard {
			t.Fatalf("%q: %v, %v, %v", s, shard, again, err)
		}
	})
}

// TestShardHasEverySlideOnce: whatever the slides and the number of runs, each slide is one run's.
func TestShardHasEverySlideOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "n")
		path := "/cohort/" + rapid.StringMatching(`[ -.0-~]{1,30}`).Draw(t, "name")
		all, owners := Shard{N: n}, 0
		for i := 1; i <= max(n, 1); i++ {
			all.I = i
			if all.Has(path) {
				owners++
			}
		}
		if owners != 1 {
			t.Fatalf("%q is of %d of %d shards", path, owners, n)
		}
		if !(Shard{}).Has(path) {
			t.Fatal("the zero shard lacks a slide")
		}
	})
}

// TestShardGoesByTheNameOfResults: slides whose results would share a folder are of one run.
func TestShardGoesByTheNameOfResults(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.svs")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "b.svs")
	if err := os.Symlink(file, link); err != nil && runtime.GOOS != "windows" {
		t.Fatal(err)
	}
	moved := false
	for n := range 64 {
		for i := range n {
			s := Shard{i + 1, n}
			if s.Has(file) != s.Has("elsewhere/a.ndpi") || s.Has(file) != s.Has("a.tif") || s.Has(file) != s.Has(link) {
				t.Errorf("slides named a are not of one run of %d", n)
			}
			moved = moved || s.Has(file) != s.Has("b.svs")
		}
	}
	if !moved {
		t.Error("the name does not matter")
	}
}

// TestShardsAreEven has names as scanners give them, which differ in a few digits. The bound is five
// standard deviations of a fair draw.
func TestShardsAreEven(t *testing.T) {
	for _, format := range []string{"S%04d.svs", "TCGA-%04d-01Z-00-DX1.svs", "%d.tif", "slide - 2024-03-01 %06d.ndpi"} {
		for _, n := range []int{2, 3, 8, 20} {
			counts := make([]int, n)
			for k := range 1000 {
				for i := range n {
					if (Shard{i + 1, n}).Has(fmt.Sprintf(format, k)) {
						counts[i]++
						break
					}
				}
			}
			mean := 1000 / float64(n)
			for i, c := range counts {
				if d := float64(c) - mean; d*d > 25*mean {
					t.Errorf("%s: shard %d/%d has %d of 1000", format, i+1, n, c)
				}
			}
		}
	}
}

// TestShardsStayAsTheyWere: a run of another version of microtome must agree which slides are whose. Never
// change these numbers.
func TestShardsStayAsTheyWere(t *testing.T) {
	for _, c := range []struct {
		path       string
		of8, of100 int
	}{
		{"CMU-1-Small-Region.svs", 1, 25},
		{"S0001.svs", 4, 84},
		{"S0002.svs", 4, 8},
		{"TCGA-A1-A0SB-01Z-00-DX1.B34C267B.svs", 2, 98},
		{"Präparat 7.ome.tif", 6, 90},
	} {
		if !(Shard{c.of8, 8}).Has(c.path) || !(Shard{c.of100, 100}).Has(c.path) {
			t.Errorf("%s is not of shards %d/8 and %d/100", c.path, c.of8, c.of100)
		}
	}
}

func TestSlurmShard(t *testing.T) {
	env := func(values string) func(string) string {
		m := map[string]string{}
		for _, v := range strings.Fields(values) {
			k, v, _ := strings.Cut(v, "=")
			m["SLURM_ARRAY_TASK_"+k] = v
		}
		return func(name string) string { return m[name] }
	}
	for _, c := range []struct{ env, want string }{
		{"", ""},
		{"COUNT=8 MIN=0", ""}, // no task of an array
		{"ID=0 COUNT=8 MIN=0 MAX=7 STEP=1", "1/8"},
		{"ID=7 COUNT=8 MIN=0 MAX=7 STEP=1", "8/8"},
		{"ID=1 COUNT=8 MIN=1 MAX=8 STEP=1", "1/8"},
		{"ID=103 COUNT=4 MIN=101 MAX=104", "3/4"},
		{"ID=9 COUNT=4 MIN=1 MAX=13 STEP=4", "3/4"}, // --array=1-13:4
		{"ID=4 COUNT=2 MIN=0 MAX=7 STEP=4", "2/2"},  // --array=0-7:4
		{"ID=5 COUNT=8 MIN=1", "5/8"},
		{"ID=5 COUNT=1 MIN=5 MAX=5 STEP=1", "1/1"},
		{"ID=5", "!"},
		{"ID=5 COUNT=8", "!"}, // from 0 or from 1?
		{"ID=5 MIN=1 MAX=8", "!"},
		{"ID=0 COUNT=8 MIN=1 MAX=8", "!"},
		{"ID=9 COUNT=8 MIN=1", "!"},
		{"ID=1 COUNT=3 MIN=1 MAX=7 STEP=1", "!"}, // --array=1,3,7
		{"ID=3 COUNT=2 MIN=3 MAX=5 STEP=1", "!"}, // two of an earlier array again
		{"ID=2 COUNT=4 MIN=1 MAX=13 STEP=4", "!"},
		{"ID=1 COUNT=4 MIN=1 STEP=0", "!"},
		{"ID=x COUNT=4 MIN=1", "!"},
		{"ID=-1 COUNT=4 MIN=-1", "!"},
		{"ID=1 COUNT=4 MIN=1 MAX=y", "!"},
		{"ID=1 COUNT=0 MIN=1", "!"},
	} {
		shard, ok, err := SlurmShard(env(c.env))
		got := ""
		switch {
		case err != nil:
			got = "!"
			if ok || shard != (Shard{}) || !strings.Contains(err.Error(), "give --shard") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, %v, %v", c.env, shard, ok, err)
			}
		case ok:
			got = shard.String()
		}
		if got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.env, got, err, c.want)
		}
	}
}

// TestSlurmTasksShareTheWork: the tasks of any regular array are each one of its shards.
func TestSlurmTasksShareTheWork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, step, n := rapid.IntRange(0, 50).Draw(t, "first"), rapid.IntRange(1, 9).Draw(t, "step"), rapid.IntRange(1, 30).Draw(t, "n")
		last := first + (n-1)*step + rapid.IntRange(0, step-1).Draw(t, "beyond")
		for i := range n {
			vars := map[string]int{"ID": first + i*step, "COUNT": n, "MIN": first, "MAX": last, "STEP": step}
			shard, ok, err := SlurmShard(func(name string) string { return fmt.Sprint(vars[strings.TrimPrefix(name, "SLURM_ARRAY_TASK_")]) })
			if err != nil || !ok || shard != (Shard{i + 1, n}) {
				t.Fatalf("%v: %v, %v, %v", vars, shard, ok, err)
			}
		}
	})
}
