package pipeline

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"microtome/sink"
	"microtome/slide"
	"microtome/stages"
	"microtome/unet"
)

// overlayEdge is the long edge of overlay.png at most, px.
const overlayEdge = 1600

// A subject is an open slide with the view and the plan to segment it by.
type subject struct {
	*slide.Slide
	given    string // as the user named it
	path     string // absolute
	view     *slide.View
	plan     Plan
	warnings []string
}

// open opens a slide and lays out the work on it. The caller closes the subject.
func (p *Pipeline) open(path string) (_ *subject, err error) {
	s, err := slide.Open(path, slide.Config{CacheBytes: cacheBytes(p.Config.Memory)})
	if err != nil {
		return nil, &StageError{Slide: path, Stage: "open", Err: err}
	}
	defer func() {
		if err != nil {
			err = &StageError{Slide: path, Stage: "plan", Err: errors.Join(err, s.Close())}
		}
	}()
	sub := &subject{Slide: s, given: path, path: path}
	if sub.view, err = p.view(s); err != nil {
		return nil, err
	}
	own := s.Info().MPP
	if p.Config.MPP > 0 && own > 0 && p.Config.MPP != own {
		sub.warn("--mpp %g is used, the slide states %.4g", p.Config.MPP, own)
	}
	if sub.view.Scale() < 0.98 {
		sub.warn("the model was made for %.4g µm/px and the slide has %.4g: it is enlarged", sub.view.MPP(), sub.view.MPP()*sub.view.Scale())
	}
	sub.plan, err = planner{p.Config, p.Model, int(p.below.Load())}.plan(s, sub.view)
	if p.Config.Workers > sub.plan.Workers {
		sub.warn("%d workers fit into --memory, not %d", sub.plan.Workers, p.Config.Workers)
	}
	return sub, err
}

func (s *subject) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

// view returns the working resolution: --level as it is, the model's resolution, or level 0 for a model
// that works at any.
func (p *Pipeline) view(s *slide.Slide) (*slide.View, error) {
	want := p.Model.Spec().MPP
	switch {
	case p.Config.Level != Auto:
		return s.AtLevel(p.Config.Level)
	case want > 0:
		return s.AtMPP(want, p.Config.MPP)
	case p.Config.MPP > 0: // level 0, whose resolution is stated
		return s.AtMPP(p.Config.MPP, p.Config.MPP)
	}
	return s.AtLevel(0)
}

// one takes a slide from its path to committed results.
func (p *Pipeline) one(ctx context.Context, path string, res *results) (end SlideEnd) {
	end.Slide = path
	fail := func(stage string, err error) SlideEnd {
		var se *StageError
		if !errors.As(err, &se) {
			err = &StageError{Slide: path, Stage: stage, Err: err}
		} else if se.Slide == "" {
			se.Slide = path
		}
		end.Err = err
		return end
	}
	s, err := p.open(path)
	if err != nil {
		return fail("open", err)
	}
	defer func() { end.Err = errors.Join(end.Err, s.Close()) }()
	fingerprint, err := sink.Fingerprint(path)
	if err == nil {
		s.path, err = absolute(path)
	}
	if err != nil {
		return fail("open", err)
	}
	end.Dir, end.Summary, err = res.claim(s.path, fingerprint)
	if err != nil {
		return fail("plan", err)
	}
	if end.Kept = end.Summary != nil; end.Kept {
		if err := p.sameWork(s.plan, end.Summary); err != nil {
			return fail("plan", fmt.Errorf("%s holds results %w: give --force to replace them, or another -o", end.Dir, err))
		}
		return end
	}
	if err := s.plan.Check(); err != nil {
		return fail("plan", err)
	}
	p.Events.slideBegin(SlideBegin{Slide: path, Plan: s.plan, Todo: s.plan.Tiles})
	for _, w := range s.warnings {
		p.Events.warn(path, w)
	}
	summary, err := p.write(ctx, s, end.Dir, fingerprint)
	for first := true; errors.Is(err, unet.ErrMemory); first = false {
		large := s.plan.Core
		if !p.smaller(s) {
			break
		}
		p.Events.slideBegin(SlideBegin{Slide: path, Plan: s.plan, Todo: s.plan.Tiles})
		if first {
			s.warn("the network ran out of memory with tiles of %d px: the slide was started again with smaller ones", large)
			p.Events.warn(path, s.warnings[len(s.warnings)-1])
		}
		summary, err = p.write(ctx, s, end.Dir, fingerprint)
	}
	if err != nil {
		end.Dir = ""
		return fail("commit", err)
	}
	end.Summary = summary
	return end
}

// smaller lays out the work on a slide with tiles of half the edge at most, after the device that runs the network, or
// the process, ran out of memory with those of the plan. Later slides of the run begin with them. It reports whether
// there are such tiles: a size that --tile or the model prescribes stays.
func (p *Pipeline) smaller(s *subject) bool {
	below := s.plan.Core/2 + 1
	plan, err := planner{p.Config, p.Model, below}.plan(s.Slide, s.view)
	if err != nil || plan.Core >= s.plan.Core || plan.Check() != nil {
		return false
	}
	s.plan = plan
	p.below.Store(int64(below))
	return true
}

// absolute returns the one path that names a file from anywhere.
func absolute(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// sameWork reports how results that are there differ from what this run would write. Workers and memory do not
// matter, nor do tiles, which do not change the labels; where they are blended they do a little, and then those that
// --tile asks for must be the same ones.
func (p *Pipeline) sameWork(plan Plan, kept *sink.Summary) error {
	spec, mask := p.Model.Spec(), kept.Mask
	switch {
	case kept.Model.SHA256 != spec.SHA256 || strings.HasSuffix(kept.Model.Name, unet.TTASuffix) != strings.HasSuffix(spec.Name, unet.TTASuffix):
		return fmt.Errorf("of model %s, not %s", kept.Model.Name, spec.Name)
	case kept.Model.Form != "" && kept.Model.Form != spec.Form: // results of earlier versions do not say
		return fmt.Errorf("of model %s read in another way (card, output, classes, threshold or --fp16)", kept.Model.Name)
	case mask.Overlap != plan.Overlap || plan.Overlap > 0 && plan.tileAsked && mask.Core != plan.Core:
		return fmt.Errorf("of tiles of %d px that overlap by %d, not of %d by %d", mask.Core+mask.Overlap, mask.Overlap, plan.Core+plan.Overlap, plan.Overlap)
	case mask.Level != plan.Level || mask.Scale != plan.Scale || mask.MPP != plan.MPP:
		return fmt.Errorf("at %.4g µm/px (level %d × %.4g), not %.4g (level %d × %.4g)", mask.MPP, mask.Level, mask.Scale, plan.MPP, plan.Level, plan.Scale)
	case image.Pt(mask.Origin[0], mask.Origin[1]) != plan.Region.Min || image.Pt(mask.Width, mask.Height) != plan.Region.Size():
		return errors.New("of another region")
	}
	return nil
}

// write segments a slide into the files of its folder: all of them, or none.
func (p *Pipeline) write(ctx context.Context, s *subject, dir, fingerprint string) (_ *sink.Summary, err error) {
	started := time.Now()
	stage, err := sink.OpenStage(sink.Disk, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stage.Close()) }()
	if _, err := os.Stat(filepath.Join(dir, summaryFile)); err == nil && !p.Config.Force {
		return nil, fmt.Errorf("another microtome has just written %s: run again to keep it", dir)
	}
	picture, err := s.picture(ctx) // first: a slide that cannot be shown should fail before the work
	if err != nil {
		return nil, &StageError{Stage: "overlay", Err: err}
	}
	model, normalisation, err := p.forSlide(ctx, s)
	if err != nil {
		return nil, &StageError{Stage: "plan", Err: err}
	}
	size := s.plan.Region.Size()
	mask, err := sink.CreateTIFF(sink.Disk, stage.Path(maskFile), sink.TIFFConfig{
		Size: size, Tile: p.Config.MaskTile, Compression: p.Config.Compression, MPP: s.plan.MPP,
		Software: "microtome " + p.Config.Version, Description: "microtome mask of " + filepath.Base(s.path),
	})
	if err != nil {
		return nil, err
	}
	overview := sink.NewOverview(size, p.Config.MaskTile, overlayEdge)
	pyramid := sink.NewPyramid(size, p.Config.MaskTile, sink.Majority, mask, overview)
	grid := s.plan.Grid(p.Model.Spec().Geometry)
	var blend *stages.Blend
	if s.plan.Overlap > 0 {
		m, ok := model.(unet.Engine)
		if !ok {
			return nil, errors.Join(errors.New("the model was not opened to be blended"), pyramid.Abort())
		}
		blend = stages.NewBlend(grid, s.plan.Overlap, m)
	}
	times, err := job{
		view: s.view, grid: grid, model: model, blend: blend, dst: pyramid,
		budget: stages.NewBudget(s.plan.tileBytes), readers: s.plan.Readers, workers: s.plan.Workers,
		tileDone: func(t slide.Tile) { p.Events.tileDone(TileDone{Slide: s.given, Core: t.Core}) },
	}.segment(ctx)
	if err != nil {
		return nil, errors.Join(err, pyramid.Abort())
	}
	debug.FreeOSMemory() // the overlay takes the place of the tiles
	if err := pyramid.Commit(); err != nil {
		return nil, err
	}
	if err := sink.WriteOverlay(sink.Disk, stage.Path(overlayFile), picture, overview, nil); err != nil {
		return nil, err
	}
	summary := p.summary(s, pyramid, fingerprint)
	summary.Started, summary.Stages = started.UTC(), times
	if normalisation != nil {
		summary.Model.Normalisation = (*sink.Normalisation)(normalisation)
	}
	for _, name := range []string{maskFile, overlayFile} {
		if summary.Outputs[name], err = sink.Describe(stage.Path(name)); err != nil {
			return nil, err
		}
	}
	summary.Seconds = time.Since(started).Seconds()
	summary.Memory.Peak = peak()
	if err := sink.WriteSummary(sink.Disk, stage.Path(summaryFile), summary); err != nil {
		return nil, err
	}
	return summary, stage.Publish(maskFile, overlayFile, summaryFile)
}

// picture returns the segmented region of the slide, small.
func (s *subject) picture(ctx context.Context) (*image.RGBA, error) {
	thumb, err := s.Thumbnail(ctx, overlayEdge)
	if err != nil {
		return nil, err
	}
	full, r := s.plan.Size, s.plan.Region
	if r.Size() == full {
		return thumb, nil
	}
	at := func(v, of, n int) int { return v * n / of }
	w, h := thumb.Rect.Dx(), thumb.Rect.Dy()
	part := image.Rect(at(r.Min.X, full.X, w), at(r.Min.Y, full.Y, h), max(at(r.Max.X, full.X, w), at(r.Min.X, full.X, w)+1), max(at(r.Max.Y, full.Y, h), at(r.Min.Y, full.Y, h)+1))
	out := image.NewRGBA(image.Rectangle{Max: part.Size()})
	draw.Draw(out, out.Rect, thumb, part.Min, draw.Src)
	return out, nil
}

// summary says what ran on what, and the areas that came out.
func (p *Pipeline) summary(s *subject, pyramid *sink.Pyramid, fingerprint string) *sink.Summary {
	info, spec, plan := s.Info(), p.Model.Spec(), s.plan
	full, b := info.Levels[0].Size, info.Bounds
	sum := &sink.Summary{
		Status: "done", Notice: sink.Notice, Version: p.Config.Version, Arguments: p.Config.Arguments,
		Slide: sink.SlideSummary{
			Path: s.path, Fingerprint: fingerprint, Vendor: info.Vendor, Width: full.X, Height: full.Y, MPP: info.MPP,
			Bounds: [4]int{b.Min.X, b.Min.Y, b.Dx(), b.Dy()},
		},
		Model: sink.ModelSummary{
			Name: spec.Name, SHA256: spec.SHA256, Form: spec.Form, Engine: spec.Engine, Stride: spec.Stride, Before: spec.Before, After: spec.After,
			Classes: spec.Classes, MPP: spec.MPP, PassedOver: spec.PassedOver,
		},
		Mask: sink.MaskSummary{
			Width: plan.Region.Dx(), Height: plan.Region.Dy(), MPP: plan.MPP, Level: plan.Level, Scale: plan.Scale,
			Origin: [2]int{plan.Region.Min.X, plan.Region.Min.Y}, Core: plan.Core, Overlap: plan.Overlap, Tiles: plan.Tiles,
		},
		Coverage: sink.CoverageSummary{Expected: pyramid.Expected(), Written: pyramid.Written()},
		Workers:  plan.Workers,
		Memory:   sink.MemorySummary{Limit: plan.Limit, Planned: plan.Sum()},
		Warnings: slices.Concat(p.remarks(), s.warnings),
		Outputs:  map[string]sink.Output{},
	}
	counts := pyramid.Counts()
	for label, name := range spec.Classes {
		c := sink.ClassSummary{Label: label, Name: name, Pixels: counts[label]}
		if plan.MPP > 0 {
			mm2 := float64(c.Pixels) * plan.MPP * plan.MPP / 1e6
			c.MM2 = &mm2
		}
		sum.Classes = append(sum.Classes, c)
	}
	return sum
}
