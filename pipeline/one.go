package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"microtome/sink"
	"microtome/slide"
	"microtome/slide/tissue"
	"microtome/stages"
	"microtome/unet"
)

// overlayEdge is the long edge of overlay.png at most, px.
const overlayEdge = 1600

// A subject is an open slide, on its way to results.
type subject struct {
	*slide.Slide
	item     Item
	given    string // as the user named it
	path     string // absolute
	identity identity
	dir      string // of its results
	number   int    // among the slides of the run
	model    unet.Model
	view     *slide.View
	plan     Plan
	granted  room // of the memory of the run
	tissue   *tissue.Tissue
	drawn    string // SHA-256 of the file that says what is tissue, where one does
	scope    *stages.Scope
	warnings []string
	phases   phases
	course   *Course // of its tiles, when they are done
}

// phases are the parts of the time that a slide takes, one after another.
type phases struct {
	since time.Time // the end of the last one
	all   []sink.PhaseTime
}

// end ends a phase, and begins the next.
func (p *phases) end(name string) {
	now := time.Now()
	p.all = append(p.all, sink.PhaseTime{Phase: name, Seconds: now.Sub(p.since).Seconds()})
	p.since = now
}

// openSlideFunc opens a slide; see slide.Open.
type openSlideFunc func(path string, cfg slide.Config) (*slide.Slide, error)

// open opens a slide and lays out the work on it as if all of it were tissue. The caller closes the subject.
func (p *Pipeline) open(item Item, model unet.Model) (_ *subject, err error) {
	open := p.OpenSlide
	if open == nil {
		open = slide.Open
	}
	s, err := open(item.Path, slide.Config{CacheBytes: cacheBytes(p.Config.Memory), Timeout: p.Config.ReadTimeout, Unread: p.Config.MarkUnread})
	if err != nil {
		return nil, &StageError{Slide: item.Path, Stage: "open", Err: err}
	}
	defer func() {
		if err != nil {
			err = &StageError{Slide: item.Path, Stage: "plan", Err: errors.Join(err, s.Close())}
		}
	}()
	sub := &subject{Slide: s, item: item, given: item.Path, path: slide.RealPath(item.Path), model: model}
	if sub.view, err = p.view(s, item, model); err != nil {
		return nil, err
	}
	own, stated := p.mpp(item), s.Info().MPP
	if own > 0 && stated > 0 && own != stated {
		sub.warn("%s %g is used, the slide states %.4g", p.mppSource(item), own, stated)
	}
	if sub.view.Scale() < 0.98 {
		sub.warn("the model was made for %.4g µm/px and the slide has %.4g: it is enlarged", sub.view.MPP(), sub.view.MPP()*sub.view.Scale())
	}
	if sub.plan.Region, err = p.region(sub.view, item); err != nil {
		return nil, err
	}
	sub.plan, err = p.planner(sub).plan(s, sub.view)
	if p.Config.Workers > sub.plan.Workers {
		sub.warn("%d workers fit into --memory, not %d", sub.plan.Workers, p.Config.Workers)
	}
	return sub, err
}

func (p *Pipeline) planner(s *subject) planner {
	cfg := p.Config
	cfg.MPP = p.mpp(s.item)
	return planner{Config: cfg, model: s.model, region: s.plan.Region, below: int(p.below.Load()), scope: s.scope}
}

func (s *subject) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

// mpp returns what is stated of a slide's pixels at level 0, over what it says itself; 0: nothing.
func (p *Pipeline) mpp(item Item) float64 { return cmp.Or(item.MPP, p.Config.MPP) }

func (p *Pipeline) mppSource(item Item) string {
	if item.MPP > 0 {
		return "the list's mpp"
	}
	return "--mpp"
}

// view returns the working resolution: --level as it is, the model's resolution, or level 0 for a model
// that works at any.
func (p *Pipeline) view(s *slide.Slide, item Item, model unet.Model) (*slide.View, error) {
	want, own := model.Spec().MPP, p.mpp(item)
	switch {
	case p.Config.Level != Auto && item.MPP > 0:
		return nil, errors.New("the list states an mpp, and --level takes the pixels as they are: leave one of them out")
	case p.Config.Level != Auto:
		return s.AtLevel(p.Config.Level)
	case want > 0:
		return s.AtMPP(want, own)
	case own > 0: // level 0, whose resolution is stated
		return s.AtMPP(own, own)
	}
	return s.AtLevel(0)
}

// region returns the part of a view that is segmented.
func (p *Pipeline) region(v *slide.View, item Item) (image.Rectangle, error) {
	full := image.Rectangle{Max: v.Size()}
	switch {
	case !item.Region.Empty():
		down, r := v.Downsample(), item.Region
		low := func(n int) int { return int(math.Floor(float64(n) / down)) }
		high := func(n int) int { return int(math.Ceil(float64(n) / down)) }
		part := image.Rect(low(r.Min.X), low(r.Min.Y), high(r.Max.X), high(r.Max.Y)).Intersect(full)
		if part.Empty() {
			size := v.Slide().Info().Levels[0].Size
			return part, fmt.Errorf("the region %d %d %d %d lies outside of the slide of %d × %d pixels", r.Min.X, r.Min.Y, r.Dx(), r.Dy(), size.X, size.Y)
		}
		return part, nil
	case p.Config.Bounds:
		return v.Bounds(), nil
	}
	return full, nil
}

// begin opens a slide and claims the folder of its results. It returns no subject where there is nothing to do, or it
// cannot be done.
func (c *cohort) begin(item Item, model unet.Model) (begun *subject, end SlideEnd) {
	end.Slide = item.Path
	defer func() {
		if p := recover(); p != nil {
			end = SlideEnd{Slide: item.Path, Err: &StageError{Slide: item.Path, Stage: "open", Err: newPanicError(p)}}
		}
	}()
	began := phases{since: time.Now()}
	// Before it is opened: whatever comes in its place from now on is noticed.
	id, errID := c.identify(item.Path)
	if errors.Is(errID, slide.ErrTimeout) {
		end.Err = &StageError{Slide: item.Path, Stage: "open", Err: errID}
		return nil, end
	}
	s, err := c.open(item, model)
	if err != nil {
		end.Err = err
		return nil, end
	}
	s.identity, err = id, errID
	stage := "open"
	if err == nil && !c.Config.Discard {
		stage = "plan"
		end.Dir, end.Summary, err = c.results.claim(s.path, s.identity.fingerprint)
	}
	if err == nil && end.Summary != nil {
		end.Kept = true
		if err = c.sameWork(s, end.Summary); err != nil {
			err = fmt.Errorf("%s holds results %w: give --force to replace them, or another -o", end.Dir, err)
		} else {
			if n := end.Summary.Coverage.Unread; n > 0 {
				c.warn(item.Path, unreadPixels(n))
			}
			err = sink.Sweep(c.Config.files(), end.Dir)
		}
	}
	if err == nil && !end.Kept {
		err = s.plan.Check()
	}
	if err == nil && !end.Kept {
		s.dir, s.granted, s.phases = end.Dir, s.plan.room, began
		s.phases.end("open")
		return s, end
	}
	if err = errors.Join(err, s.Close()); err != nil {
		end = SlideEnd{Slide: item.Path, Err: &StageError{Slide: item.Path, Stage: stage, Err: err}}
	}
	return nil, end
}

// one takes a slide to committed results.
func (c *cohort) one(ctx context.Context, s *subject) (summary *sink.Summary, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = newPanicError(p)
		}
		err = c.becauseGone(s, err)
		var se *StageError
		if err != nil && !errors.As(err, &se) {
			err = &StageError{Slide: s.given, Stage: "commit", Err: err}
		} else if err != nil && se.Slide == "" {
			se.Slide = s.given
		}
	}()
	s.phases.end("wait for a place") // among the slides at work
	if err := c.layOut(ctx, s); err != nil {
		return nil, &StageError{Stage: "tissue", Err: err}
	}
	s.phases.end("tissue")
	for _, w := range s.warnings {
		c.warn(s.given, w)
	}
	summary, err = c.write(ctx, s)
	for first := true; errors.Is(err, unet.ErrMemory); first = false {
		large := s.plan.Core
		if !c.smaller(s) {
			break
		}
		if first {
			s.warn("the network ran out of memory with tiles of %d px: the slide was started again with smaller ones", large)
			c.warn(s.given, s.warnings[len(s.warnings)-1])
		}
		summary, err = c.write(ctx, s)
	}
	return summary, err
}

// layOut looks for tissue and lays out the work on it, within what was granted to the slide.
func (p *Pipeline) layOut(ctx context.Context, s *subject) error {
	if err := p.findTissue(ctx, s); err != nil {
		return err
	}
	return p.replan(s)
}

func (p *Pipeline) replan(s *subject) error {
	planner := p.planner(s)
	planner.within = &s.granted
	plan, err := planner.plan(s.Slide, s.view)
	if err == nil {
		s.plan = plan
	}
	return err
}

// smaller lays out the work on a slide with tiles of half the edge at most, after the device that runs the network, or
// the process, ran out of memory with those of the plan. Later slides of the run begin with them. It reports whether
// there are such tiles: a size that --tile or the model prescribes stays.
func (c *cohort) smaller(s *subject) bool {
	was := s.plan
	c.below.Store(int64(was.Core/2 + 1))
	if err := c.replan(s); err != nil || s.plan.Core >= was.Core || s.plan.Check() != nil {
		s.plan = was
		return false
	}
	return true
}

// sameWork reports how results that are there differ from what this run would write. Workers and memory do not
// matter, nor do tiles, which do not change the labels; where they are blended they do a little, and then those that
// --tile asks for must be the same ones.
func (p *Pipeline) sameWork(s *subject, kept *sink.Summary) error {
	spec, mask, plan := s.model.Spec(), kept.Mask, s.plan
	now, err := s.tissueKey(p.Config)
	if err != nil {
		return err
	}
	switch {
	case kept.Model.SHA256 != spec.SHA256 || strings.HasSuffix(kept.Model.Name, unet.TTASuffix) != strings.HasSuffix(spec.Name, unet.TTASuffix):
		return fmt.Errorf("of model %s, not %s", kept.Model.Name, spec.Name)
	case kept.Model.Form != "" && kept.Model.Form != spec.Form: // results of earlier versions do not say
		return fmt.Errorf("of model %s read in another way (card, output, classes, threshold or --fp16)", kept.Model.Name)
	case mask.Overlap != plan.Overlap || plan.Overlap > 0 && plan.tileGiven && mask.Core != plan.Core:
		return fmt.Errorf("of tiles of %d px that overlap by %d, not of %d by %d", mask.Core+mask.Overlap, mask.Overlap, plan.Core+plan.Overlap, plan.Overlap)
	case mask.Level != plan.Level || mask.Scale != plan.Scale || mask.MPP != plan.MPP:
		return fmt.Errorf("at %.4g µm/px (level %d × %.4g), not %.4g (level %d × %.4g)", mask.MPP, mask.Level, mask.Scale, plan.MPP, plan.Level, plan.Scale)
	case image.Pt(mask.Origin[0], mask.Origin[1]) != plan.Region.Min || image.Pt(mask.Width, mask.Height) != plan.Region.Size():
		return errors.New("of another region")
	case keptTissue(kept.Tissue) != now:
		return fmt.Errorf("of another choice of tissue (%s, not %s)", keptTissue(kept.Tissue), now)
	case kept.Coverage.Unread > 0 && !p.Config.MarkUnread:
		return fmt.Errorf("with %d pixels that could not be read, and --on-bad-tile is fail", kept.Coverage.Unread)
	}
	return nil
}

// write segments a slide into the files of its folder: all of them, or none. What is done when it is interrupted, or
// cannot go on for a reason that is not the slide's, is kept in the folder's stage for a run that goes on.
func (c *cohort) write(ctx context.Context, s *subject) (_ *sink.Summary, err error) {
	if c.Config.Discard {
		return c.discard(ctx, s)
	}
	started := time.Now()
	open := sink.ResumeStage
	if c.Config.Force {
		open = sink.OpenStage
	}
	stage, err := open(c.Config.files(), s.dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		end := stage.Close
		if worthKeeping(err) {
			end = stage.Suspend
		}
		err = errors.Join(err, end())
	}()
	if _, err := os.Stat(filepath.Join(s.dir, summaryFile)); err == nil && !c.Config.Force {
		return nil, fmt.Errorf("another microtome has just written %s: run again to keep it", s.dir)
	}
	if !c.Config.Force {
		if err := c.tidy(s.dir); err != nil {
			return nil, err
		}
	}
	picture, err := s.picture(ctx) // first: a slide that cannot be shown should fail before the work
	if err != nil {
		return nil, &StageError{Stage: "overlay", Err: err}
	}
	model, normalisation, err := c.forSlide(ctx, s, s.model)
	if err != nil {
		return nil, &StageError{Stage: "plan", Err: err}
	}
	s.phases.end("overlay")
	size := s.plan.Region.Size()
	mask, err := sink.CreateTIFF(c.Config.files(), stage.Path(maskFile), sink.TIFFConfig{
		Size: size, Tile: c.Config.MaskTile, Compression: c.Config.Compression, MPP: s.plan.MPP,
		Software: "microtome " + c.Config.Version, Description: "microtome mask of " + filepath.Base(s.path),
	})
	if err != nil {
		return nil, err
	}
	overview := sink.NewOverview(size, c.Config.MaskTile, overlayEdge)
	pyramid := sink.NewPyramid(size, c.Config.MaskTile, sink.Majority, mask, overview)
	resumed, err := c.fill(ctx, s, stage, pyramid, model, normalisation)
	s.phases.end("tiles")
	if err == nil {
		err = c.same(s)
	}
	if err != nil {
		return nil, errors.Join(err, pyramid.Abort())
	}
	if err := pyramid.Commit(); err != nil {
		return nil, err
	}
	if err := sink.WriteOverlay(c.Config.files(), stage.Path(overlayFile), picture, overview, s.outline(c.Config, picture.Rect.Size())); err != nil {
		return nil, err
	}
	summary, err := c.summary(s, pyramid)
	if err != nil {
		return nil, err
	}
	if summary.Coverage.Unread > 0 {
		c.warn(s.given, summary.Warnings[len(summary.Warnings)-1])
	}
	summary.Started, summary.Resumed = started.UTC(), resumed
	if normalisation != nil {
		summary.Model.Normalisation = (*sink.Normalisation)(normalisation)
	}
	for _, name := range []string{maskFile, overlayFile} {
		if summary.Outputs[name], err = sink.Describe(stage.Path(name)); err != nil {
			return nil, err
		}
	}
	s.phases.end("finish")
	summary.Seconds, summary.Phases = time.Since(started).Seconds(), s.phases.all
	summary.Memory.Peak = Peak()
	if err := sink.WriteSummary(c.Config.files(), stage.Path(summaryFile), summary); err != nil {
		return nil, err
	}
	return summary, stage.Publish(maskFile, overlayFile, summaryFile)
}

// tidy removes files under final names from a folder without a summary: of a run that was killed while it published. When
// this one ends early and takes its stage away, nothing would tell that they are ours.
func (p *Pipeline) tidy(dir string) error {
	for _, name := range []string{maskFile, overlayFile} {
		if err := p.Config.files().Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// worthKeeping reports whether what a slide's run has done is of use to another after an error. When the slide itself is
// at fault, another copy of it may have other pixels.
func worthKeeping(err error) bool {
	var bad *slide.Error
	return err != nil && (!errors.As(err, &bad) || errors.Is(err, slide.ErrTimeout))
}

// fill labels all pixels of the pyramid: by the tiles of an interrupted run, and by the network. Without a stage nothing is
// kept for another run.
func (c *cohort) fill(ctx context.Context, s *subject, stage *sink.Stage, pyramid *sink.Pyramid, model unet.Model, n *unet.Normalisation) (resumed int, err error) {
	grid := s.plan.Grid(model.Spec().Geometry)
	commit := &stages.Commit{
		Grid: grid, Scope: s.scope, Pyramid: pyramid,
		Done: func(t slide.Tile) { c.tileDone(TileDone{Slide: s.given, Core: t.Core}) },
	}
	var blend *stages.Blend
	if s.plan.Overlap > 0 { // what a tile leaves to the next is not in the journal
		m, ok := model.(unet.Engine)
		if !ok {
			return 0, errors.New("the model was not opened to be blended")
		}
		blend = stages.NewBlend(grid, s.plan.Overlap, m)
	} else if stage != nil {
		header, err := c.journalHeader(s, n)
		if err != nil {
			return 0, err
		}
		if commit.Journal, err = stage.Journal(header); err != nil {
			return 0, err
		}
		if why := commit.Journal.Restart(); why != nil {
			c.warn(s.given, "the slide is started over: "+why.String())
		}
		if err := commit.Replay(ctx); err != nil {
			return 0, err
		}
		resumed = commit.Journal.Resumed()
	}
	c.slideBegin(SlideBegin{Slide: s.given, Plan: s.plan, Todo: s.plan.Asked - resumed, Resumed: resumed})
	j := job{
		view: s.view, grid: grid, model: model, blend: blend, mark: c.Config.MarkUnread, commit: commit,
		budget: stages.NewBudget(s.plan.tileBytes), readers: s.plan.Readers, workers: s.plan.Workers,
		turn: c.turns.of(s.number, s.plan.Workers), looked: new(looked),
	}
	s.course, err = j.segment(ctx)
	s.course.Budget, s.course.High = s.plan.tileBytes, j.budget.High()
	_, s.course.Decoded = s.Decoded()
	s.course.Needed = int64(3 * s.view.Scale() * s.view.Scale() * float64(j.looked.labelled))
	s.course.Seen, s.course.Labelled = j.looked.seen, j.looked.labelled
	return resumed, err
}

// journalHeader says what the labels of a slide's tiles depend on.
func (p *Pipeline) journalHeader(s *subject, n *unet.Normalisation) (h sink.JournalHeader, err error) {
	spec, plan := s.model.Spec(), s.plan
	h = sink.JournalHeader{
		Version: p.Config.Version, Slide: s.identity.fingerprint, Model: spec.SHA256, Engine: spec.Engine,
		Stride: spec.Stride, Before: spec.Before, After: spec.After,
		Level: plan.Level, Scale: plan.Scale, MPP: plan.MPP, Region: plan.Region, Core: plan.Core, Panel: panel,
	}
	tissue, err := s.tissueKey(p.Config)
	if err != nil {
		return h, err
	}
	note := func(name string, value any) { h.Arguments = append(h.Arguments, fmt.Sprintf("%s %v", name, value)) }
	note("modified", s.identity.modified.UTC().Format(time.RFC3339Nano))
	note("model", spec.Name)
	note("form", spec.Form)
	note("processor", processor())
	note("tissue", tissue)
	note("scope", s.scope.Sum())
	note("decoders", slide.Libraries())
	note("mark unread", p.Config.MarkUnread)
	if n != nil {
		note("normalisation", *n)
	}
	return h, nil
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
