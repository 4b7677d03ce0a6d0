package score

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/raster"
)

// probabilities makes tenths of digits; a dot is 0.
func probabilities(rows ...string) (p []float32, w, h int) {
	for _, c := range strings.Join(rows, "") {
		if c == '.' {
			c = '0'
		}
		p = append(p, float32(c-'0')/10)
	}
	return p, len(rows[0]), len(rows)
}

// show writes labels as digits.
func show(l raster.Labels) string {
	var s strings.Builder
	for i, id := range l.Pix {
		if i > 0 && i%l.W == 0 {
			s.WriteByte('\n')
		}
		s.WriteByte(".123456789"[id])
	}
	return s.String()
}

func TestObjectsByHand(t *testing.T) {
	p, w, h := probabilities(
		"66..7..6",
		"6.6...6.",
		".....6..",
		"9.5..6..",
		"........",
		"888...77",
		"8.8.7.77",
		"888....9")
	for _, c := range []struct {
		name string
		f    Filter
		want []string
	}{
		{"default", NewDefaultFilter(), []string{
			"11..2..3",
			"1.1...3.",
			".....3..",
			"4....3..",
			"........",
			"555...66",
			"5.5.7.66",
			"555....6",
		}},
		{"4-connected", Filter{Threshold: 0.65, Connectivity: 4}, []string{
			"....1...",
			"........",
			"........",
			"2.......",
			"........",
			"333...44",
			"3.3.5.44",
			"333....4",
		}},
		{"areas from 4", Filter{Threshold: 0.5, MinArea: 4, Connectivity: 8}, []string{
			"11.....2",
			"1.1...2.",
			".....2..",
			".....2..",
			"........",
			"333...44",
			"3.3...44",
			"333....4",
		}},
		{"peaks from 0.85", Filter{Threshold: 0.5, MinPeak: 0.85, Connectivity: 8}, []string{
			"........",
			"........",
			"........",
			"1.......",
			"........",
			"......22",
			"......22",
			".......2",
		}},
		// The dropped 7 in the middle no longer takes pixels; what 1 and 2 reach alike goes to 1.
		{"grown", Filter{Threshold: 0.65, MinArea: 5, Grow: 2, Connectivity: 8}, []string{
			"........",
			"........",
			"........",
			"111...22",
			"1111.222",
			"11111222",
			"11111222",
			"11111222",
		}},
	} {
		if got, want := show(c.f.Objects(p, w, h)), strings.Join(c.want, "\n"); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, want)
		}
	}
}

// 0.7 as float32 is less than as float64, 0.6 is greater: both are what they say.
func TestExactProbabilities(t *testing.T) {
	p, w, h := probabilities("6.7")
	if got := show(Filter{Threshold: 0.6, Connectivity: 8}.Objects(p, w, h)); got != "..1" {
		t.Errorf("more than 0.6: %s", got)
	}
	if got := show(Filter{Threshold: 0.5, MinPeak: 0.7, Connectivity: 8}.Objects(p, w, h)); got != "..1" {
		t.Errorf("with a peak from 0.7: %s", got)
	}
}

func TestNotANumberIsBackground(t *testing.T) {
	nan := float32(math.NaN())
	got := NewDefaultFilter().Objects([]float32{1, nan, 1}, 3, 1)
	if show(got) != "1.2" {
		t.Errorf("got %s", show(got))
	}
}

func anyProbabilities(t *rapid.T, w, h int) []float32 {
	p := make([]float32, w*h)
	for i := range p {
		p[i] = float32(rapid.IntRange(0, 10).Draw(t, "tenths")) / 10
	}
	return p
}

func anyFilter(t *rapid.T) Filter {
	return Filter{
		Threshold:    rapid.SampledFrom([]float64{0, 0.3, 0.5, 0.75, 0.9}).Draw(t, "threshold"),
		MinArea:      rapid.SampledFrom([]float64{0, 1.5, 2, 4}).Draw(t, "area"),
		MinPeak:      rapid.SampledFrom([]float64{0, 0.7, 0.95}).Draw(t, "peak"),
		Grow:         rapid.SampledFrom([]float64{0, 1, 1.5, 2, 3}).Draw(t, "grow"),
		Connectivity: rapid.SampledFrom([]int{4, 8}).Draw(t, "connectivity"),
	}
}

// Objects against its definition: parts by flooding, each background pixel by a search of all others.
func TestObjectsAgainstDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 12).Draw(t, "w"), rapid.IntRange(1, 12).Draw(t, "h")
		p, f := anyProbabilities(t, w, h), anyFilter(t)
		if err := f.Validate(); err != nil {
			t.Fatal(err)
		}
		seen := make([]bool, w*h)
		l := raster.NewLabels(w, h)
		n := uint32(0)
		for start := range p {
			var part []int
			var flood func(x, y int)
			flood = func(x, y int) {
				if x < 0 || y < 0 || x >= w || y >= h || seen[y*w+x] || p[y*w+x] <= float32(f.Threshold) {
					return
				}
				seen[y*w+x] = true
				part = append(part, y*w+x)
				for dy := -1; dy <= 1; dy++ {
					for dx := -1; dx <= 1; dx++ {
						if f.Connectivity == 8 || dx*dy == 0 {
							flood(x+dx, y+dy)
						}
					}
				}
			}
			flood(start%w, start/w)
			peak := float32(0)
			for _, i := range part {
				peak = max(peak, p[i])
			}
			if len(part) == 0 || float64(len(part)) < f.MinArea || peak < float32(f.MinPeak) {
				continue
			}
			n++
			for _, i := range part {
				l.Pix[i] = n
			}
		}
		want := raster.NewLabels(w, h)
		for i := range want.Pix {
			nearest := f.Grow*f.Grow + 1e-3
			for j, id := range l.Pix {
				dx, dy := i%w-j%w, i/w-j/w
				if d := float64(dx*dx + dy*dy); id > 0 && (d < nearest || d == nearest && d <= f.Grow*f.Grow && id < want.Pix[i]) {
					nearest, want.Pix[i] = d, id
				}
			}
		}
		if got := f.Objects(p, w, h); !slices.Equal(got.Pix, want.Pix) {
			t.Fatalf("%+v:\n%s\nwant\n%s", f, show(got), show(want))
		}
	})
}

func TestValidate(t *testing.T) {
	for want, f := range map[string]Filter{
		"a threshold of 1: give a probability from 0 to less than 1":   {Threshold: 1, Connectivity: 8},
		"a threshold of NaN: give a probability from 0 to less than 1": {Threshold: math.NaN(), Connectivity: 8},
		"a smallest area of -1 px: give 0 or more":                     {MinArea: -1, Connectivity: 8},
		"a lowest peak of 1.5: give a probability from 0 to 1":         {MinPeak: 1.5, Connectivity: 8},
		"objects that grow by -1 px: give 0 to 64":                     {Grow: -1, Connectivity: 8},
		"a connectivity of 6: give 4 or 8":                             {Connectivity: 6},
	} {
		if err := f.Validate(); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", f, err, want)
		}
	}
	if err := NewDefaultFilter().Validate(); err != nil {
		t.Error(err)
	}
}
