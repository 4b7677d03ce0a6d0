package stages

import (
	"bytes"
	"context"
	"errors"
	"image"
	"testing"

	"microtome/sink"
	"microtome/slide"
	"microtome/unet"
)

var errBroken = errors.New("broken")

// A reader is a slide of one block whose pixels are all 7, or that cannot be read.
type reader struct{ err error }

func (r reader) Info() slide.Info {
	return slide.Info{
		Levels: []slide.Level{{Size: image.Pt(8, 8), Downsample: 1, Block: image.Pt(8, 8)}},
		Bounds: image.Rect(0, 0, 8, 8),
	}
}

func (r reader) ReadBlock(_ context.Context, _, _, _ int, dst []byte) error {
	for i := range dst {
		dst[i] = 7
	}
	return r.err
}

func (r reader) Close() error { return nil }

// A model adds 1 to the first bytes of its input, or fails.
type model struct{ err error }

func (m model) Spec() unet.Spec {
	return unet.Spec{Geometry: unet.Geometry{Stride: 1, Before: 1, After: 1}}
}
func (m model) Bytes(int) int64 { return 0 }
func (m model) Close() error    { return nil }

func (m model) Predict(_ context.Context, _ int, in, out []byte) error {
	for i := range out {
		out[i] = in[i] + 1
	}
	return m.err
}

var tile = slide.Tile{Core: image.Rect(0, 0, 2, 2), Halo: image.Rect(-1, -1, 3, 3)}

const pixBytes, labelBytes = 3 * 4 * 4, 2 * 2

// leased returns a patch of tile.
func leased(t *testing.T, b *Budget) Patch {
	t.Helper()
	p, err := Lease(b, pixBytes, labelBytes, 0)(context.Background(), tile)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// holds checks how many tiles the budget has given out.
func holds(t *testing.T, b *Budget, tiles int64) {
	t.Helper()
	if got := b.Used(); got != tiles*(pixBytes+labelBytes) {
		t.Errorf("%d bytes are held, want %d tiles", got, tiles)
	}
}

// commit is the end of the stages for a region in cores of 2 px.
func commit(p *sink.Pyramid, region image.Rectangle, done func(slide.Tile)) *Commit {
	everywhere := func(image.Rectangle) bool { return true }
	return &Commit{Grid: slide.Grid{Region: region, Core: 2, Panel: 8}, Scope: NewScope(region, everywhere), Pyramid: p, Done: done}
}

// TestStages takes one tile all the way.
func TestStages(t *testing.T) {
	b := NewBudget(1000)
	ctx := context.Background()
	p := leased(t, b)
	if p.Tile != tile || len(p.Pix) != pixBytes || len(p.Labels) != labelBytes {
		t.Fatalf("leased %+v", p)
	}
	v, err := slide.New(reader{}, slide.Config{}).AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Read(v)(ctx, p); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Pix, bytes.Repeat([]byte{7}, pixBytes)) {
		t.Errorf("read %v", p.Pix)
	}
	m, err := Infer(model{}, 2)(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, b, 1)
	pyramid := sink.NewPyramid(image.Pt(2, 2), 16, sink.Majority)
	var done []slide.Tile
	if _, err := commit(pyramid, image.Rect(0, 0, 2, 2), func(t slide.Tile) { done = append(done, t) }).Write(ctx, Masks{m}); err != nil {
		t.Fatal(err)
	}
	holds(t, b, 0)
	if len(done) != 1 || done[0] != tile {
		t.Errorf("done: %v", done)
	}
	if counts := pyramid.Counts(); counts[8] != 4 {
		t.Errorf("%d pixels have label 8, want 4", counts[8])
	}
	if err := pyramid.Commit(); err != nil {
		t.Error(err)
	}
}

func TestLeaseFails(t *testing.T) {
	b := NewBudget(pixBytes + labelBytes - 1)
	if _, err := Lease(b, pixBytes, labelBytes, 0)(context.Background(), tile); err == nil {
		t.Error("a tile larger than the budget was leased")
	}
	holds(t, b, 0)
}

func TestReadFails(t *testing.T) {
	b := NewBudget(1000)
	v, err := slide.New(reader{errBroken}, slide.Config{}).AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Read(v)(context.Background(), leased(t, b)); !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
	holds(t, b, 0)
}

func TestInferFails(t *testing.T) {
	b := NewBudget(1000)
	if _, err := Infer(model{errBroken}, 2)(context.Background(), leased(t, b)); !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
	holds(t, b, 0)
}

// TestWriteFails in the middle of a run of masks: those after it are released too, and not reported done.
func TestWriteFails(t *testing.T) {
	b := NewBudget(1000)
	pyramid := sink.NewPyramid(image.Pt(6, 2), 16, sink.Majority)
	var ms Masks
	for _, x := range []int{0, 0, 2} { // the second tile is the first again
		m := Mask(leased(t, b))
		m.Tile.Index, m.Tile.Core = x/2, image.Rect(x, 0, x+2, 2)
		ms = append(ms, m)
	}
	done := 0
	if _, err := commit(pyramid, image.Rect(0, 0, 6, 2), func(slide.Tile) { done++ }).Write(context.Background(), ms); err == nil {
		t.Error("a tile was written twice")
	}
	holds(t, b, 0)
	if done != 1 {
		t.Errorf("%d tiles are done, want 1", done)
	}
}

// TestWriteOfARegion: with --bounds the mask begins at the region, and the last cores are clipped.
func TestWriteOfARegion(t *testing.T) {
	b := NewBudget(1000)
	pyramid := sink.NewPyramid(image.Pt(3, 2), 16, sink.Majority)
	var ms Masks
	for i, core := range []image.Rectangle{image.Rect(100, 50, 102, 52), image.Rect(102, 50, 103, 52)} {
		m := Mask(leased(t, b))
		m.Tile.Index, m.Tile.Core = i, core
		copy(m.Labels, bytes.Repeat([]byte{byte(i + 1), 9}, 2))
		ms = append(ms, m)
	}
	if _, err := commit(pyramid, image.Rect(100, 50, 103, 52), func(slide.Tile) {}).Write(context.Background(), ms); err != nil {
		t.Fatal(err)
	}
	if counts := pyramid.Counts(); counts[1] != 2 || counts[9] != 2 || counts[2] != 2 {
		t.Errorf("counts %v, want two each of 1, 2 and 9", counts[:10])
	}
	holds(t, b, 0)
}
