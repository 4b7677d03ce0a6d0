package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sides returns the side on which Split has put each group, and fails where one is on two.
func sides(t rapid.TB, s *Set, fraction float64) map[string]string {
	a, b, err := s.Split(fraction)
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]string{}
	for side, images := range map[string][]int{train: a, validation: b} {
		if !slices.IsSorted(images) {
			t.Fatalf("%s %v is not in order", side, images)
		}
		for _, i := range images {
			g := s.Images[i].Group
			if at[g] != "" && at[g] != side {
				t.Fatalf("group %s is for %s and %s", g, at[g], side)
			}
			at[g] = side
		}
	}
	return at
}

func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groups := rapid.IntRange(2, 40).Draw(t, "groups")
		fraction := rapid.Float64Range(0.01, 0.99).Draw(t, "fraction")
		var s Set
		stains := map[string]int{}
		for g := range groups {
			stain := rapid.SampledFrom([]string{"", "H&E", "IHC"}).Draw(t, "stain")
			stains[stain]++
			for i := range rapid.IntRange(1, 3).Draw(t, "images") {
				m := Image{Name: fmt.Sprint(len(s.Images)), Group: fmt.Sprintf("patient %d", g), Stain: stain}
				if i > 0 && rapid.Bool().Draw(t, "mixed") { // the group counts with the first of its stains
					m.Stain = "zzz"
				}
				s.Images = append(s.Images, m)
			}
		}
		at := sides(t, &s, fraction)
		if len(at) != groups {
			t.Fatalf("%d of %d groups are on a side", len(at), groups)
		}
		got := map[string]map[string]bool{train: {}, validation: {}}
		count := map[string]int{}
		for _, m := range s.Images {
			if got[at[m.Group]][m.Group] {
				continue
			}
			got[at[m.Group]][m.Group] = true
			if at[m.Group] == validation { // of a group, the first image has the stain that counts
				count[m.Stain]++
			}
		}
		for stain, n := range stains {
			v := count[stain]
			if n >= 3 && (v == 0 || v == n) || math.Abs(float64(v)-fraction*float64(n)) > 1 {
				t.Fatalf("%d of %d groups of stain %q are for validation, at %g", v, n, stain, fraction)
			}
		}
		rand.Shuffle(len(s.Images), func(i, j int) { s.Images[i], s.Images[j] = s.Images[j], s.Images[i] })
		for g, side := range sides(t, &s, fraction) {
			if at[g] != side {
				t.Fatalf("in another order group %s is for %s, was for %s", g, side, at[g])
			}
		}
	})
}

func TestSplitAsTold(t *testing.T) {
	var s Set
	for i, split := range []string{"", train, validation, test, "", "", "", "", "", ""} {
		s.Images = append(s.Images, Image{Group: fmt.Sprint(i), Split: split})
	}
	at := sides(t, &s, 0.34)
	if at["1"] != train || at["2"] != validation || at["3"] != "" || len(at) != 9 {
		t.Errorf("sides %v", at)
	}
	told := 0
	for _, side := range at {
		if side == validation {
			told++
		}
	}
	if told != 3 {
		t.Errorf("%d of 9 groups for validation: those that are told count", told)
	}
	s.Images[0].Group = "2" // half of a group is told
	if at := sides(t, &s, 0.34); at["2"] != validation {
		t.Errorf("sides %v", at)
	}
	s.Images[3].Split = ""
	if at := sides(t, &s, 0); len(at) != 9 || at["2"] != validation || at["9"] != train {
		t.Errorf("without a share, sides %v", at)
	}
}

func TestSplitErrors(t *testing.T) {
	set := func(images ...Image) *Set { return &Set{Images: images} }
	for name, c := range map[string]struct {
		set      *Set
		fraction float64
		want     string
	}{
		"one image":   {set(Image{Group: "a"}), 0.2, "only one group of images, a,"},
		"one group":   {set(Image{Group: "a"}, Image{Group: "a"}), 0.2, "name groups in index.json"},
		"one to use":  {set(Image{Group: "a"}, Image{Group: "b", Split: test}), 0.2, "only one group of images, a,"},
		"no training": {set(Image{Group: "a", Split: test}, Image{Group: "b", Split: validation}, Image{Group: "c", Split: validation}), 0.2, "no images to train on"},
		"no other":    {set(Image{Group: "a", Split: train}, Image{Group: "b", Split: train}), 0.2, "no images to validate with"},
		"torn":        {set(Image{Group: "a", Split: train}, Image{Group: "a", Split: test}), 0.2, "group a is for train and for test"},
		"all":         {set(Image{Group: "a"}, Image{Group: "b"}), 1, "give 0 or more and less than 1"},
		"below":       {set(Image{Group: "a"}, Image{Group: "b"}), -0.1, "validation share -0.1"},
		"NaN":         {set(Image{Group: "a"}, Image{Group: "b"}), math.NaN(), "validation share NaN"},
	} {
		if _, _, err := c.set.Split(c.fraction); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
	if a, b, err := set(Image{Group: "a"}).Split(0); err != nil || len(a) != 1 || len(b) != 0 {
		t.Errorf("one image without validation: %v, %v, %v", a, b, err)
	}
}
