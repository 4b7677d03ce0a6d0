package synthetic

import (
	"context"
	"fmt"
	"image"
	"sync"

	"microtome/sink"
	"microtome/slide"
)

// Open returns a slide that is painted as it is read, and takes no room on a disk: the same pixels as
// those of the file that [WriteSlide] writes, before JPEG. c and cfg are valid.
func Open(c Config, cfg slide.Config) *slide.Slide { return slide.New(NewReader(c), cfg) }

// NewReader returns the reader of [Open]. Levels 0, 1 and 2 are those of the file. A pixel of a lower one is
// the mean of 4 × 4 pixels in the middle of those of level 0 that it stands for: a sample, so that a small
// picture of a large slide comes at once.
func NewReader(c Config) slide.BlockReader {
	size := image.Pt(c.Size, c.Size)
	r := &reader{scene: newScene(c), info: slide.Info{
		Path: fmt.Sprintf("synthetic-%d-%d.svs", c.Size, c.Seed), Loader: "synthetic", Vendor: "synthetic",
		MPP: mpp, MPPX: mpp, MPPY: mpp, Objective: 20, Bounds: image.Rectangle{Max: size},
	}}
	for n, s := range sink.Levels(size, tile) {
		r.info.Levels = append(r.info.Levels, slide.Level{Size: s, Downsample: float64(int(1) << n), Block: image.Pt(tile, tile)})
	}
	r.brushes.New = func() any {
		return &brush{painter{scene: r.scene}, newPyramid(r.scene, sink.Levels(size, tile)[:min(exact+1, len(r.info.Levels))])}
	}
	return r
}

// exact is the last level whose pixels are means of all pixels of level 0.
const exact = 2

// A reader is a slide.BlockReader.
type reader struct {
	*scene
	info    slide.Info
	brushes sync.Pool
}

// A brush is what one call of ReadBlock paints with.
type brush struct {
	painter
	pyramid pyramid
}

func (r *reader) Info() slide.Info { return r.info }

func (r *reader) Close() error { return nil }

func (r *reader) ReadBlock(_ context.Context, level, bx, by int, dst []byte) error {
	b := r.brushes.Get().(*brush)
	defer r.brushes.Put(b)
	block := image.Rect(bx*tile, by*tile, (bx+1)*tile, (by+1)*tile).Intersect(image.Rectangle{Max: r.info.Levels[level].Size})
	switch {
	case level == 0:
		b.paint(dst, nil, block)
	case level <= exact:
		glass, err := b.pyramid.tile(level, bx, by, 0, func(x, y int, pix []byte) (bool, error) {
			return !b.paint(pix, nil, image.Rect(x*tile, y*tile, (x+1)*tile, (y+1)*tile)), nil
		}, func(int, int, int, bool, []byte) error { return nil })
		if err != nil {
			return err
		}
		pix := b.pyramid.pix[level]
		if glass {
			pix = b.pyramid.glass[level]
		}
		for y := range block.Dy() {
			copy(dst[3*y*block.Dx():][:3*block.Dx()], pix[3*y*tile:])
		}
	default:
		b.sample(dst, level, block)
	}
	return nil
}

// sample fills dst with a block of a level by samples of level 0.
func (b *brush) sample(dst []byte, level int, block image.Rectangle) {
	const edge = 4
	step := 1 << level
	off := step/2 - edge/2
	if step > cell {
		off += cell / 2 // from a corner to the middle of a cell, whose corners are enough
	} else {
		b.lay(&b.lattice, cellsOf(image.Rectangle{block.Min.Mul(step), block.Max.Mul(step)}.Inset(-maxReach)))
	}
	var patch [3 * edge * edge]byte
	for y := block.Min.Y; y < block.Max.Y; y++ {
		for x := block.Min.X; x < block.Max.X; x++ {
			at := image.Pt(x*step+off, y*step+off)
			r := image.Rectangle{at, at.Add(image.Pt(edge, edge))}
			if step > cell {
				b.lay(&b.lattice, cellsOf(r.Inset(-maxReach)))
			}
			b.paintOn(&b.lattice, patch[:], nil, r)
			var sum [3]int
			for i := 0; i < len(patch); i += 3 {
				sum[0] += int(patch[i])
				sum[1] += int(patch[i+1])
				sum[2] += int(patch[i+2])
			}
			for i, v := range sum {
				dst[i] = byte((v + edge*edge/2) / (edge * edge))
			}
			dst = dst[3:]
		}
	}
}
