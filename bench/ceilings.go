package bench

import (
	"context"
	"errors"
	"image"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"microtome/bench/results"
	"microtome/sink"
	"microtome/slide"
	"microtome/unet"
)

// ceilingTime is how long each ceiling is measured, as often as [best] says.
const ceilingTime = 250 * time.Millisecond

// best measures three times and returns the most: others on the machine make it slower, never faster.
func best(measure func() (float64, error)) (most float64, err error) {
	for range 3 {
		rate, err := measure()
		if err != nil {
			return 0, err
		}
		most = max(most, rate)
	}
	return most, nil
}

// Measure measures what the machine reaches, with all processors at work, for a processor: c says on which device, slide and codec. What
// cannot be measured is 0, and why it is not is the error.
func Measure(ctx context.Context, c Config, path string) (results.Ceilings, error) {
	procs := runtime.GOMAXPROCS(0)
	var all results.Ceilings
	var errs []error
	flops, err := best(func() (float64, error) {
		return unet.SGEMM(unet.Config{Device: "cpu", Library: c.Unet.Library}, procs, ceilingTime)
	})
	errs = append(errs, err)
	all.SGEMM = flops / 1e9 / float64(procs)
	rate, err := best(func() (float64, error) { return copyRate(procs), nil })
	errs = append(errs, err)
	all.Copy = rate / 1e9 / float64(procs)
	if path != "" {
		rate, err := best(func() (float64, error) { return decodeRate(ctx, path, procs) })
		errs = append(errs, err)
		all.Decode = rate / 1e6 / float64(procs)
	}
	if c.Sink != results.NullSink {
		rate, err := best(func() (float64, error) { return codecRate(c.Sink, c.Pipeline.MaskTile) })
		errs = append(errs, err)
		all.Codec = rate / 1e6
	}
	return all, errors.Join(errs...)
}

// repeat calls work with so many goroutines, each with a state of its own, for a time at least, and returns how often a second. The
// first call of each is not counted.
func repeat[T any](workers int, atLeast time.Duration, state func(worker int) T, work func(T) error) (perSecond float64, err error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range workers {
		group.Go(func() {
			own := state(i)
			failed := work(own)
			n, began := 0, time.Now()
			for failed == nil && (n == 0 || time.Since(began) < atLeast) {
				failed = work(own)
				n++
			}
			mu.Lock()
			defer mu.Unlock()
			perSecond += float64(n) / time.Since(began).Seconds()
			err = errors.Join(err, failed)
		})
	}
	group.Wait()
	return perSecond, err
}

// copyRate returns the bytes a second that are read and written when memory is copied that no cache holds.
func copyRate(workers int) float64 {
	const size = 64 << 20
	perSecond, _ := repeat(workers, ceilingTime, func(int) [2][]byte { return [2][]byte{make([]byte, size), make([]byte, size)} }, func(b [2][]byte) error {
		copy(b[0], b[1])
		return nil
	})
	return 2 * size * perSecond
}

// decodeRate returns the pixels a second of blocks of a slide's level 0, in any order.
func decodeRate(ctx context.Context, path string, workers int) (float64, error) {
	s, err := slide.Open(path, slide.Config{})
	if err != nil {
		return 0, err
	}
	v, err := s.AtLevel(0)
	if err != nil {
		return 0, errors.Join(err, s.Close())
	}
	l := s.Info().Levels[0]
	wide, high := max(1, l.Size.X/l.Block.X), max(1, l.Size.Y/l.Block.Y)
	type reader struct {
		rng *rand.Rand
		pix []byte
	}
	state := func(i int) reader {
		return reader{rand.New(rand.NewPCG(1, uint64(i))), make([]byte, 3*l.Block.X*l.Block.Y)}
	}
	perSecond, err := repeat(workers, ceilingTime, state, func(r reader) error {
		at := image.Pt(r.rng.IntN(wide)*l.Block.X, r.rng.IntN(high)*l.Block.Y)
		return v.Read(ctx, r.pix, image.Rectangle{Max: l.Block}.Add(at))
	})
	return perSecond * float64(l.Block.X) * float64(l.Block.Y), errors.Join(err, s.Close())
}

// codecRate returns the pixels a second of labels that one processor puts into the tiles of a mask, which goes nowhere.
func codecRate(compression string, tile int) (float64, error) {
	const edge = 2048
	labels := discs(edge)
	perSecond, err := repeat(1, ceilingTime, func(int) struct{} { return struct{}{} }, func(struct{}) error {
		f, err := sink.CreateTIFF(nowhere{}, "mask.tif", sink.TIFFConfig{Size: image.Pt(edge, edge), Tile: tile, Compression: compression})
		if err != nil {
			return err
		}
		one := make([]byte, tile*tile)
		for y := range edge / tile {
			for x := range edge / tile {
				for row := range tile {
					copy(one[row*tile:], labels[(y*tile+row)*edge+x*tile:][:tile])
				}
				if err := f.WriteTile(0, x, y, one); err != nil {
					return errors.Join(err, f.Abort())
				}
			}
		}
		return f.Abort() // its lower levels are not written
	})
	return perSecond * edge * edge, err
}
