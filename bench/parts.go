package bench

import (
	"context"
	"errors"
	"image"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"microtome/bench/results"
	"microtome/pipeline"
	"microtome/sink"
	"microtome/slide"
	"microtome/stages"
)

// endToEnd segments the slides as users do.
func (m *measurement) endToEnd(ctx context.Context) error {
	m.steady.of = m.plan.Asked * len(m.paths)
	watch := NewWatch(m.pipeline.Config)
	m.pipeline.Events = pipeline.Tee(watch.Events(), pipeline.Events{TileDone: func(pipeline.TileDone) { m.steady.tile() }})
	err := m.pipeline.Run(ctx, pipeline.Items(slide.Find(slide.FindConfig{}, m.paths...)))
	if err == nil {
		watch.Into(&m.run.Result)
		m.run.Watch, m.seen, m.labelled = watch, watch.reading.Seen, watch.reading.Labelled
	}
	return err
}

// part runs a part of the pipeline by itself, without its queues.
func (m *measurement) part(ctx context.Context) error {
	switch m.Scenario {
	case results.InferOnly:
		return m.infer(ctx)
	case results.WriteOnly:
		return m.write(ctx)
	}
	s, err := m.open()
	if err != nil {
		return err
	}
	if m.Scenario == results.ReadOnly {
		err = m.read(ctx, s)
	} else {
		err = m.cut(ctx, s)
	}
	_, m.run.Figures.Decoded = s.Decoded()
	m.run.Figures.DecodedPer = float64(m.run.Figures.Decoded) / 3 / m.levelPixels()
	return errors.Join(err, s.Close())
}

// open opens the slide as the pipeline would.
func (m *measurement) open() (*slide.Slide, error) {
	open := m.pipeline.OpenSlide
	if open == nil {
		open = slide.Open
	}
	return open(m.paths[0], slide.Config{CacheBytes: m.plan.CacheBytes(), Timeout: m.Pipeline.ReadTimeout})
}

// view returns the slide at the resolution of the plan.
func (m *measurement) view(s *slide.Slide) (*slide.View, error) {
	if m.plan.Scale == 1 {
		return s.AtLevel(m.plan.Level)
	}
	return s.AtMPP(m.plan.MPP, m.Pipeline.MPP)
}

// levelPixels returns how many pixels of the slide's level the region takes.
func (m *measurement) levelPixels() float64 {
	size := m.plan.Region.Size()
	return float64(size.X) * float64(size.Y) * m.plan.Scale * m.plan.Scale
}

// each calls work for 0 to n-1, with so many at a time, each with a state of its own, until one fails.
func each[T any](ctx context.Context, n, workers int, state func() T, work func(context.Context, T, int) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			own := state()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := work(ctx, own, i); err != nil {
					fail(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// read decodes each block of the region once, by readers side by side.
func (m *measurement) read(ctx context.Context, s *slide.Slide) error {
	l := s.Info().Levels[m.plan.Level]
	v, err := s.AtLevel(m.plan.Level)
	if err != nil {
		return err
	}
	wide, high := (l.Size.X+l.Block.X-1)/l.Block.X, (l.Size.Y+l.Block.Y-1)/l.Block.Y
	f := &m.run.Figures
	f.Pixels, f.Tiles, f.Waste = int64(l.Size.X)*int64(l.Size.Y), wide*high, 1
	m.steady.of = f.Tiles
	buffer := func() []byte { return make([]byte, 3*l.Block.X*l.Block.Y) }
	return each(ctx, wide*high, m.plan.Readers, buffer, func(ctx context.Context, pix []byte, i int) error {
		r := image.Rectangle{Max: l.Block}.Add(image.Pt(i%wide*l.Block.X, i/wide*l.Block.Y)).Intersect(image.Rectangle{Max: l.Size})
		m.steady.tile()
		return v.Read(ctx, pix[:3*r.Dx()*r.Dy()], r)
	})
}

// cut reads the tiles of the plan with their halos, in its order.
func (m *measurement) cut(ctx context.Context, s *slide.Slide) error {
	v, err := m.view(s)
	if err != nil {
		return err
	}
	grid := m.plan.Grid(m.model.Spec().Geometry)
	f := &m.run.Figures
	f.Pixels, f.Tiles = area(m.plan.Region), grid.Len()
	f.Waste = float64(grid.Len()) * float64(m.plan.Halo) * float64(m.plan.Halo) / float64(f.Pixels)
	m.steady.of = f.Tiles
	read := stages.Read(v)
	budget := stages.NewBudget(int64(m.plan.Readers) * int64(3*m.plan.Halo*m.plan.Halo))
	return each(ctx, grid.Len(), m.plan.Readers, func() struct{} { return struct{}{} }, func(ctx context.Context, _ struct{}, i int) error {
		buf, err := budget.Get(ctx, 3*m.plan.Halo*m.plan.Halo, 0, 0)
		if err != nil {
			return err
		}
		p, err := read(ctx, stages.Patch{Tile: grid.At(i), Turn: i, Buffer: buf})
		if err == nil {
			p.Release()
		}
		m.steady.tile()
		return err
	})
}

// inferTime is how long the network alone runs at least.
const inferTime = 2 * time.Second

// infer labels one tile again and again, for as many tiles as the slide has, or until the time is enough.
func (m *measurement) infer(ctx context.Context) error {
	channels := m.model.Spec().Channels
	halo, core := m.plan.Halo, m.plan.Core
	type tile struct{ pix, labels []byte }
	state := func() tile { return tile{bytesOf(halo * halo * channels), make([]byte, core*core)} }
	predict := func(ctx context.Context, t tile, _ int) error { return m.model.Predict(ctx, 1, t.pix, t.labels) }
	if err := each(ctx, m.plan.Workers, m.plan.Workers, state, predict); err != nil { // what is prepared for a size is not measured
		return err
	}
	began := time.Now()
	var done atomic.Int64
	enough := 2 * m.plan.Workers // each worker at least two
	start := usageNow()
	err := each(ctx, max(m.plan.Tiles, enough), m.plan.Workers, state, func(ctx context.Context, t tile, i int) error {
		if i >= enough && time.Since(began) > inferTime {
			return nil
		}
		done.Add(1)
		return predict(ctx, t, i)
	})
	m.from = &start
	f := &m.run.Figures
	f.Tiles = int(done.Load())
	f.Pixels = int64(f.Tiles) * int64(core) * int64(core)
	f.Waste = float64(halo) * float64(halo) / float64(core) / float64(core)
	m.seen, m.labelled = int64(f.Tiles)*int64(halo)*int64(halo), f.Pixels
	return err
}

// write puts labels that look like nuclei through the end of the graph: into order, pyramid and file. There is no journal.
func (m *measurement) write(ctx context.Context) (err error) {
	grid, size := m.plan.Grid(m.model.Spec().Geometry), m.plan.Region.Size()
	var to sink.Container = sink.Discard{}
	if m.Sink != results.NullSink {
		if err := os.MkdirAll(m.pipeline.Config.Out, 0o777); err != nil { // not where the user may have a mask
			return err
		}
		if to, err = sink.CreateTIFF(sink.Disk, filepath.Join(m.pipeline.Config.Out, "mask.tif"), sink.TIFFConfig{
			Size: size, Tile: m.Pipeline.MaskTile, Compression: m.Sink, MPP: m.plan.MPP, Software: "microtome bench", Description: "microtome bench",
		}); err != nil {
			return err
		}
	}
	commit := &stages.Commit{
		Grid: grid, Scope: stages.NewScope(grid.Region, func(image.Rectangle) bool { return true }),
		Pyramid: sink.NewPyramid(size, m.Pipeline.MaskTile, sink.Majority, to), Done: func(slide.Tile) { m.steady.tile() },
	}
	labels := discs(m.plan.Core)
	budget := stages.NewBudget(int64(len(labels)))
	f := &m.run.Figures
	f.Pixels, f.Tiles, f.Waste = area(m.plan.Region), grid.Len(), 1
	m.steady.of = f.Tiles
	start := usageNow() // not the labels
	m.from = &start
	var order stages.Order
	for t := range grid.All() {
		buf, err := budget.Get(ctx, 0, len(labels), 0)
		if err == nil {
			copy(buf.Labels, labels)
			var ready stages.Masks
			if ready, err = order.Next(ctx, stages.Mask{Tile: t, Turn: t.Index, Buffer: buf}); err == nil {
				_, err = commit.Write(ctx, ready)
			}
		}
		if err != nil {
			return errors.Join(err, commit.Pyramid.Abort())
		}
	}
	return commit.Pyramid.Commit()
}

func area(r image.Rectangle) int64 { return int64(r.Dx()) * int64(r.Dy()) }

// discs returns labels of an edge that look like those of nuclei: discs of 8 to 19 px, most of them apart.
func discs(edge int) []byte {
	labels := make([]byte, edge*edge)
	const pitch = 26
	for row := range edge/pitch + 1 {
		for col := range edge/pitch + 1 {
			h := uint32(row)*2654435761 ^ uint32(col)*2246822519
			h = (h ^ h>>15) * 2654435761
			if h>>16&3 == 0 { // none
				continue
			}
			x, y, r := col*pitch+int(h>>20&15), row*pitch+int(h>>24&15), 4+int(h>>28&15)*6/15
			for v := max(0, y-r); v < min(edge, y+r); v++ {
				for u := max(0, x-r); u < min(edge, x+r); u++ {
					if (u-x)*(u-x)+(v-y)*(v-y) < r*r {
						labels[v*edge+u] = 1
					}
				}
			}
		}
	}
	return labels
}
