package pipeline

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"

	"microtome/slide"
	"microtome/unet"
)

// tolerance is how far logits of two devices may lie apart, as a share of the largest of the crop, or of 1 where
// that is less.
const tolerance = 1e-4

// largeCrop is the edge from which on crops do not grow with the tiles, px.
const largeCrop = 1024

// A Verifier compares a model with itself: the logits of tiles, laid as a run would lay them, with those of one
// inference over a whole crop that has the model's margins around it and the lattice's phase. Where the model's
// geometry is right, and the engine computes alike whatever the size of a tile, not one float differs.
//
// A model of one size of input has no whole crop: its tiles are compared with tiles laid elsewhere.
type Verifier struct {
	Model   unet.Engine
	Against unet.Engine // another device to compare crops with, not tiles; nil: none
	Config  Config      // of the run whose tiles are verified
	Crops   int
	Seed    uint64     // of where they lie
	Done    func(Crop) // after each, may be nil
}

// A Verification is what came out.
type Verification struct {
	Slide    string
	Core     int // of the tiles, px
	Edge     int // of a crop, px
	Grid     int // tiles that a run would lay
	Notes    []string
	Warnings []string // of the slide
	Crops    []Crop
	devices  bool
	unbound  string
}

// A Crop is a place that was looked at.
type Crop struct {
	Place string          // what it lies on
	Rect  image.Rectangle // that was compared, px of the working resolution
	Tiles int             // that touch it
	Difference
}

// A Difference counts what differs.
type Difference struct {
	Pixels  int64   // compared
	Logits  int64   // that differ
	Labels  int64   // that differ
	Max     float64 // difference of two logits
	Largest float64 // logit, its absolute value
}

func (d *Difference) add(e Difference) {
	d.Pixels, d.Logits, d.Labels = d.Pixels+e.Pixels, d.Logits+e.Logits, d.Labels+e.Labels
	d.Max, d.Largest = max(d.Max, e.Max), max(d.Largest, e.Largest)
}

// allowed is the greatest difference that two devices may have.
func (d Difference) allowed() float64 { return tolerance * max(1, d.Largest) }

// Total returns the differences of all crops.
func (v *Verification) Total() Difference {
	var sum Difference
	for _, c := range v.Crops {
		sum.add(c.Difference)
	}
	return sum
}

// Check reports what must not be: a float that differs between a tile and the whole; between devices, one that
// differs by more than rounding, or a label.
func (v *Verification) Check() error {
	d := v.Total()
	if !v.devices {
		if d.Logits == 0 || v.unbound != "" {
			return nil
		}
		return fmt.Errorf("%d logits of %d pixels differ, by up to %.3g, and %d labels: the model's stride or margins are too small, or its engine computes otherwise in tiles of another size", d.Logits, d.Pixels, d.Max, d.Labels)
	}
	far := 0
	for _, c := range v.Crops {
		if c.Max > c.allowed() {
			far++
		}
	}
	if far == 0 && d.Labels == 0 {
		return nil
	}
	return fmt.Errorf("the devices differ by up to %.3g in logits of up to %.3g, beyond %.0e of the largest in %d of %d crops, and in %d of %d labels", d.Max, d.Largest, tolerance, far, len(v.Crops), d.Labels, d.Pixels)
}

// Run verifies the model on a slide. What differs is in the result, not an error; when ctx ends, Run returns its cause.
func (v *Verifier) Run(ctx context.Context, path string) (_ *Verification, err error) {
	s, err := (&Pipeline{Model: v.Model, Config: v.Config}).open(Item{Path: path}, v.Model)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.plan.Check(); err != nil {
		return nil, &StageError{Slide: path, Stage: "plan", Err: err}
	}
	on, err := v.forSlide(ctx, s)
	if err != nil {
		return nil, &StageError{Slide: path, Stage: "plan", Err: err}
	}
	out := v.lay(s)
	r := rand.New(rand.NewPCG(v.Seed, 17))
	grid := s.plan.Grid(v.Model.Spec().Geometry)
	places := placesOn(grid)
	for i := range v.Crops {
		p := places[i%len(places)]
		c, err := on.crop(ctx, s.view, grid, p.at(r, grid, out.Edge, v.Model.Spec().Stride), out.Edge)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, &StageError{Slide: path, Stage: "verify", Tile: c.Rect, Err: err}
		}
		c.Place = p.name
		out.Crops = append(out.Crops, c)
		if v.Done != nil {
			v.Done(c)
		}
	}
	return out, nil
}

// forSlide returns v with the models as they are for the slide.
func (v Verifier) forSlide(ctx context.Context, s *subject) (*Verifier, error) {
	for _, m := range []*unet.Engine{&v.Model, &v.Against} {
		if *m == nil {
			continue
		}
		view, _, err := (&Pipeline{Config: v.Config}).forSlide(ctx, s, *m)
		if err != nil {
			return nil, err
		}
		*m = view.(unet.Engine) // as the model is
	}
	return &v, nil
}

// lay chooses the size of the crops, and says what is compared.
func (v *Verifier) lay(s *subject) *Verification {
	spec, plan := v.Model.Spec(), s.plan
	out := &Verification{
		Slide: s.given, Core: plan.Core, Edge: v.edge(plan), Grid: plan.Tiles, Warnings: s.warnings,
		devices: v.Against != nil, unbound: spec.Unbounded,
	}
	note := func(format string, args ...any) { out.Notes = append(out.Notes, fmt.Sprintf(format, args...)) }
	switch {
	case v.Against != nil:
		note("crops of %d px by %s and by %s", out.Edge, spec.Engine, v.Against.Spec().Engine)
		return out
	case spec.Input > 0:
		note("the model takes only inputs of %d px: its tiles, as segment lays them, against tiles shifted by multiples of %d px", spec.Input, spec.Stride)
	case plan.Tiles == 1:
		note("the slide is one tile of %d px, without a seam: it is compared with larger inferences around it, of %d px", out.Core, out.Edge)
	default:
		note("tiles of %d px, as segment lays them, against crops of %d px in one inference", out.Core, out.Edge)
	}
	if spec.Unbounded != "" {
		note("seams cannot be excluded: %s: what differs is shown, and fails nothing; segment blends such tiles, with --overlap", spec.Unbounded)
	}
	return out
}

// edge returns the edge of a crop: one and a half cores, or as large as serves, so that an engine that computes
// otherwise in tiles of another size shows; less where the memory of the plan would not do.
func (v *Verifier) edge(p Plan) int {
	spec := v.Model.Spec()
	if spec.Input > 0 {
		return p.Core
	}
	need := func(edge int) int64 {
		input := int64(spec.Geometry.Input(edge))
		run := v.Model.Bytes(edge)
		if v.Against != nil {
			run = max(run, v.Against.Bytes(edge)) + 2*v.Against.Spec().Size
		}
		return run + input*input*int64(spec.Channels) + 8*int64(spec.Logits)*int64(edge)*int64(edge)
	}
	edge := roundUp(p.Core+p.Core/2, spec.Stride)
	if p.Core >= largeCrop { // a crop then touches four tiles at most
		edge = roundUp(largeCrop*3/4, spec.Stride)
	}
	for edge > spec.Stride && need(edge) > p.Limit-p.Sum()+int64(p.Workers)*v.Model.Bytes(p.Core)+p.tileBytes {
		edge -= spec.Stride
	}
	return edge
}

// crop compares what lies in the square of an edge that begins at a point.
func (v *Verifier) crop(ctx context.Context, view *slide.View, grid slide.Grid, at image.Point, edge int) (Crop, error) {
	square := image.Rectangle{at, at.Add(image.Pt(edge, edge))}
	c := Crop{Rect: square.Intersect(grid.Region)}
	whole, err := v.logits(ctx, v.Model, view, at, edge)
	if err != nil {
		return c, err
	}
	if v.Against != nil {
		c.Tiles = 1
		other, err := v.logits(ctx, v.Against, view, at, edge)
		if err != nil {
			return c, err
		}
		c.compare(newPatch(v.Model.Spec(), whole, at, edge), newPatch(v.Model.Spec(), other, at, edge), c.Rect)
		return c, nil
	}
	seen := newPatch(v.Model.Spec(), whole, at, edge)
	for t := range grid.All() {
		both := t.Core.Intersect(c.Rect)
		if both.Empty() {
			continue
		}
		tile, err := v.logits(ctx, v.Model, view, t.Core.Min, grid.Core)
		if err != nil {
			return c, err
		}
		c.Tiles++
		c.compare(seen, newPatch(v.Model.Spec(), tile, t.Core.Min, grid.Core), both)
	}
	return c, nil
}

// logits runs a model on the core of an edge that begins at a point.
func (v *Verifier) logits(ctx context.Context, m unet.Engine, view *slide.View, at image.Point, core int) ([]float32, error) {
	g := m.Spec().Geometry
	halo := image.Rect(at.X-g.Before, at.Y-g.Before, at.X+core+g.After, at.Y+core+g.After)
	pix := make([]byte, m.Spec().Channels*halo.Dx()*halo.Dy())
	if err := view.Read(ctx, pix, halo); err != nil {
		return nil, err
	}
	out := make([]float32, m.Spec().Logits*core*core)
	return out, m.Logits(ctx, core, core, pix, out)
}

// A patch is the logits, class by class, and the labels of a square that begins at a point.
type patch struct {
	logits []float32
	labels []byte
	at     image.Point
	edge   int
}

func newPatch(s unet.Spec, logits []float32, at image.Point, edge int) patch {
	p := patch{logits, make([]byte, edge*edge), at, edge}
	s.Labels(logits, p.labels)
	return p
}

// compare adds the differences of two patches within a rectangle that both hold.
func (d *Difference) compare(a, b patch, r image.Rectangle) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		i, k := (y-a.at.Y)*a.edge-a.at.X, (y-b.at.Y)*b.edge-b.at.X
		for x := r.Min.X; x < r.Max.X; x++ {
			d.pixel(a, b, i+x, k+x)
		}
	}
}

// pixel compares what is pixel i of one patch and pixel k of the other.
func (d *Difference) pixel(a, b patch, i, k int) {
	stepA, stepB := len(a.labels), len(b.labels)
	for c := range len(a.logits) / stepA {
		v, w := a.logits[c*stepA+i], b.logits[c*stepB+k]
		d.Largest = max(d.Largest, finite(math.Abs(float64(v))))
		if v != w && math.Float32bits(v) != math.Float32bits(w) { // the same NaN is no difference
			d.Logits++
			d.Max = max(d.Max, finite(math.Abs(float64(v)-float64(w))))
		}
	}
	d.Pixels++
	if a.labels[i] != b.labels[k] {
		d.Labels++
	}
}

// finite is v, or the greatest number where v is none, so that it can be compared and written.
func finite(v float64) float64 {
	if math.IsNaN(v) {
		return math.MaxFloat32
	}
	return min(v, math.MaxFloat32)
}

// A place is what a crop lies on, along each axis.
type place struct {
	name string
	x, y func(r *rand.Rand, length, core, edge, stride int) int
}

// placesOn lists the places that a grid has, as they take turns.
func placesOn(g slide.Grid) []place {
	either := func(r *rand.Rand, length, core, edge, stride int) int {
		return []func(*rand.Rand, int, int, int, int) int{onFirst, onLast}[r.IntN(2)](r, length, core, edge, stride)
	}
	var all []place
	across, down := g.Region.Dx() > g.Core, g.Region.Dy() > g.Core
	if across && down {
		all = append(all, place{"four tiles", onSeam, onSeam})
	}
	if across {
		all = append(all, place{"vertical seam", onSeam, anywhere})
	}
	if down {
		all = append(all, place{"horizontal seam", anywhere, onSeam})
	}
	return append(all, place{"corner", either, either}, place{"left or right border", either, anywhere}, place{"top or bottom border", anywhere, either})
}

// at returns where a crop begins: on the lattice of the stride, with a part of its place inside.
func (p place) at(r *rand.Rand, g slide.Grid, edge, stride int) image.Point {
	return g.Region.Min.Add(image.Pt(p.x(r, g.Region.Dx(), g.Core, edge, stride), p.y(r, g.Region.Dy(), g.Core, edge, stride)))
}

// onSeam lays a crop across the end of a core, but never from seam to seam.
func onSeam(r *rand.Rand, length, core, edge, stride int) int {
	seam := core * (1 + r.IntN((length-1)/core))
	return seam - stride*within(r, edge/stride)
}

// onFirst lays a crop across the first pixel, and onLast across the last: a part of it is mirrored.
func onFirst(r *rand.Rand, _, _, edge, stride int) int { return -stride * within(r, edge/stride) }

func onLast(r *rand.Rand, length, _, edge, stride int) int {
	return roundUp(length, stride) - stride*max(within(r, edge/stride), 1)
}

// anywhere lays at least half a crop on the slide.
func anywhere(r *rand.Rand, length, _, edge, stride int) int {
	return stride * r.IntN(max(1, (length-edge/2)/stride))
}

// within draws a number of strides from a quarter to three quarters of all, never none or all if that can be.
func within(r *rand.Rand, strides int) int {
	low := max(strides/4, min(1, strides-1))
	return low + r.IntN(max(1, strides/2))
}
