package train

import (
	"cmp"
	"image"
	"math/rand/v2"
	"slices"

	"microtome/internal/raster"
	"microtome/unet/augment"
	"microtome/unet/dataset"
	"microtome/unet/target"
)

// outside is the instance number of pixels that nobody annotated, while they are warped: in the image, or beyond its border, where
// the image is mirrored and so are nuclei that the border cuts.
const outside = 1<<32 - 1

// A sample is one training tile.
type sample struct {
	name    string        // of the image that it is cut from
	image   raster.RGB    // what the network sees
	target  raster.Labels // what it puts out: instances, cut apart
	classes []uint8       // label of each pixel of the target
	weights []float32     // of each pixel of the target; 0 where nobody annotated
}

// mark returns the images with the number outside in the instances of those that are not annotated everywhere.
func mark(images []dataset.Image) []dataset.Image {
	images = slices.Clone(images)
	for i := range images {
		m := &images[i]
		if m.Outside == nil {
			continue
		}
		m.Instances.Pix = slices.Clone(m.Instances.Pix)
		for p, o := range m.Outside {
			if o {
				m.Instances.Pix[p] = outside
			}
		}
	}
	return images
}

// A sampler draws samples. One goroutine may use it at a time.
type sampler struct {
	config  Config
	images  []dataset.Image // marked
	upTo    []float64       // sum of the weights of the images up to each
	augment augment.Sampler
	weigher *target.Weigher
}

func newSampler(c Config, images []dataset.Image) *sampler {
	var upTo []float64
	sum := 0.0
	for _, m := range images {
		sum += cmp.Or(m.Weight, 1)
		upTo = append(upTo, sum)
	}
	return &sampler{config: c, images: images, upTo: upTo, augment: augment.Sampler{Config: c.Augment, Beyond: outside}, weigher: target.NewWeigher(c.Target)}
}

// draw returns the tile of a number. It depends on nothing but the configuration, the images and n.
func (s *sampler) draw(n uint64) sample {
	r := rand.New(rand.NewPCG(s.config.Seed, n))
	i, _ := slices.BinarySearch(s.upTo, r.Float64()*s.upTo[len(s.upTo)-1])
	m := s.images[min(i, len(s.images)-1)]
	base := 1.0
	if m.MPP > 0 && s.config.MPP > 0 {
		base = s.config.MPP / m.MPP
	}
	in, out := s.config.input()
	for tries := 1; ; tries++ {
		img, warped := s.augment.Sample(r, m.RGB, m.Instances, in, base)
		got := sample{name: m.Name, image: img}
		got.finish(s, m, warped, out)
		if tries == maxTries || slices.Max(got.weights) > 0 {
			return got
		}
	}
}

// maxTries is how often a tile is drawn until some of it is annotated: a region may be a thin part of its rectangle.
const maxTries = 10

// finish cuts instances apart, weighs pixels, and keeps the middle, of an edge: instances around it have been reckoned with.
func (t *sample) finish(s *sampler, m dataset.Image, warped raster.Labels, edge int) {
	unknown := make([]bool, len(warped.Pix))
	for i, n := range warped.Pix {
		if n == outside {
			unknown[i], warped.Pix[i] = true, 0
		}
	}
	var of []uint32
	t.target, of = target.Cut(warped, s.config.Cut)
	t.classes = make([]uint8, len(warped.Pix))
	for i, n := range t.target.Pix {
		t.classes[i] = m.Class(of[n])
	}
	t.weights = s.weigher.Weights(nil, t.target, t.classes)
	for i, u := range unknown {
		if u {
			t.weights[i] = 0
		}
	}
	t.classes, t.weights = middle(t.classes, warped.W, edge), middle(t.weights, warped.W, edge)
	t.target = raster.Labels{W: edge, H: edge, Pix: middle(t.target.Pix, warped.W, edge)}
}

// middle returns the middle of a square of values, whose edge is from, in a square of edge to.
func middle[T any](v []T, from, to int) []T {
	if from == to {
		return v
	}
	at := (from - to) / 2
	return part(v, from, image.Rect(at, at, at+to, at+to))
}

// feed writes what the network's inputs want: planes of the image, and the weight of each pixel at its class, divided by total.
func (t *sample) feed(c Config, image, weights []float32, total float64) {
	n := t.image.W * t.image.H
	mean, scale := float32(c.Mean), float32(c.Scale)
	for i := range n {
		for ch := range 3 {
			image[ch*n+i] = (float32(t.image.Pix[3*i+ch]) - mean) * scale
		}
	}
	clear(weights)
	m := len(t.classes)
	for i, class := range t.classes {
		weights[int(class)*m+i] = float32(float64(t.weights[i]) / total)
	}
}

// dropout draws the factors of the features at the end of the contracting path.
func (c Config) dropout(n uint64, factors []float32) {
	r := rand.New(rand.NewPCG(c.Seed, ^n))
	keep := float32(1 / (1 - c.Dropout))
	for i := range factors {
		factors[i] = keep
		if r.Float64() < c.Dropout {
			factors[i] = 0
		}
	}
}
