package train

import (
	"testing"

	"microtome/internal/raster"
	"microtome/unet/augment"
	"microtome/unet/dataset"
	"microtome/unet/score"
)

// flat returns an image of one grey level, all of which is known.
func flat(level byte, weight float64) dataset.Image {
	m := dataset.Image{RGB: raster.NewRGB(30, 30), Instances: raster.NewLabels(30, 30), Weight: weight}
	for i := range m.Pix {
		m.Pix[i] = level
	}
	return m
}

// Images are drawn in proportion to their weights.
func TestImagesAreDrawnByWeight(t *testing.T) {
	c := small(t)
	c.Augment = augment.None()
	s := newSampler(c, []dataset.Image{flat(10, 0), flat(20, 3), flat(30, 0.5)})
	drawn := map[byte]int{}
	const n = 2000
	for k := range uint64(n) {
		drawn[s.draw(k).image.Pix[0]]++
	}
	for level, share := range map[byte]float64{10: 1 / 4.5, 20: 3 / 4.5, 30: 0.5 / 4.5} {
		if got := float64(drawn[level]) / n; got < share-0.03 || got > share+0.03 {
			t.Errorf("image %d is %.3f of the tiles, want %.3f", level, got, share)
		}
	}
}

// What nobody annotated, and what lies beyond the image and is mirrored, has no weight in the loss; all else has.
func TestUnknownPixelsDoNotTeach(t *testing.T) {
	c := small(t)
	c.Augment, c.Tile = augment.None(), 40
	m := flat(10, 0)
	m.Instances.Pix[15*30+15] = 7
	m.Outside = make([]bool, 30*30)
	for i := range m.Outside {
		m.Outside[i] = i/30 < 10
	}
	tile := newSampler(c, mark([]dataset.Image{m})).draw(0)
	_, edge := c.input()
	known, found := 0, 0
	for i, w := range tile.weights {
		if w > 0 {
			known++
		}
		if tile.target.Pix[i] != 0 {
			found++
			if tile.classes[i] != 1 || w == 0 {
				t.Errorf("the instance has class %d, weight %g", tile.classes[i], w)
			}
		}
	}
	if m.Instances.Pix[0] != 0 {
		t.Error("the data set was written to")
	}
	if known != 20*30 || found != 1 || len(tile.weights) != edge*edge {
		t.Errorf("%d of %d pixels teach, want 600; %d of an instance, want 1", known, len(tile.weights), found)
	}
}

// Classes are balanced by what is trained on: neither by images for validation, nor by what nobody annotated.
func TestBalanceCountsWhatTeaches(t *testing.T) {
	set := &dataset.Set{ClassNames: []string{"background", "object"}}
	for i, split := range []string{"train", "validation"} {
		m := flat(10, 0)
		m.Group, m.Split = split, split
		for p := range 100 * (1 + 7*i) {
			m.Instances.Pix[p] = 1
		}
		set.Images = append(set.Images, m)
	}
	set.Images[0].Outside = make([]bool, 900)
	for p := 500; p < 900; p++ {
		set.Images[0].Outside[p] = true
	}
	c := small(t)
	c.Balance = true
	if got := (&Run{Config: c, Set: set}).config().Target.Class; len(got) != 2 || got[0] != 500/(2*400.) || got[1] != 500/(2*100.) {
		t.Errorf("classes weigh %v, want those of 400 and 100 pixels", got)
	}
}

// What nobody annotated is neither right nor wrong on the training tiles.
func TestAgreementIsOfWhatIsKnown(t *testing.T) {
	tile := sample{classes: []uint8{1, 0, 1, 0, 0}, weights: []float32{1, 1, 1, 1, 0}}
	logits := []float32{0, 0, 0, 0, 0, 1, 1, -1, -1, 1}
	if got, want := agreement(logits, tile, 2), (score.Pixels{TP: 1, FP: 1, FN: 1, TN: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
