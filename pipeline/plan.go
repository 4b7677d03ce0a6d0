package pipeline

import (
	"cmp"
	"fmt"
	"image"
	"math"
	"runtime"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"microtome/sink"
	"microtome/slide"
	"microtome/slide/tissue"
	"microtome/stages"
	"microtome/unet"
)

const (
	panel   = 8    // cores: see slide.Grid
	maxCore = 2048 // px; beyond it the overlap saved is below 5 %

	// base is the process with its libraries, and what no line of the plan names: decoder scratch,
	// thread stacks, the overlay. It is a stated number, not a measured one, so that the same command
	// lays the same tiles every time; TestMemoryStaysWithinPlan holds it to be enough.
	base = 160 << 20
)

// GCPercent is the garbage collector's setting (see runtime/debug.SetGCPercent) that the plan counts
// with: Go's buffers may grow by this share before the collector runs. On large slides buffers are kept, and 5 would do
// as well; small ones come with buffers of their own, and their memory should not go back to the system, and come again,
// many times a slide.
const GCPercent = 25

// A Plan is what a run over one slide will do and the memory that it needs. Everything is reserved
// before the first tile: a run that cannot fit is refused by [Plan.Check].
type Plan struct {
	Slide   string
	Size    image.Point     // of the working resolution, px
	Region  image.Rectangle // that is segmented, px of the working resolution
	Level   int             // of the slide that pixels come from
	Scale   float64         // level pixels a working pixel, 1: the level as it is
	MPP     float64         // of the working resolution, 0: unknown
	Core    int             // px
	Overlap int             // px of a tile beyond its core that it shares with the next, and blends with it
	Halo    int             // edge of what the network sees, px
	Tiles   int
	Asked   int   // tiles that the network is asked about, of Tiles: those that tissue is near to
	Seen    int64 // pixels that it looks at for them, halos included
	Workers int   // tiles that the network labels at a time
	Readers int   // tiles that are read at a time
	Memory  []Need
	Limit   int64 // --memory
	Wanted  int   // tiles at a time that the model wants
	Enough  int64 // --memory with which neither Core nor Workers would be held back

	tileBytes int64 // of the tiles in flight
	room      room
	tileGiven bool  // --tile was given
	least     int64 // --memory that would do
}

// A Need is one line of the memory plan.
type Need struct {
	For    string
	Bytes  int64
	Shared bool // by all slides that are at work at a time
}

// Sum returns the bytes that the plan needs.
func (p Plan) Sum() int64 {
	var sum int64
	for _, n := range p.Memory {
		sum += n.Bytes
	}
	return sum
}

// need returns what the slide takes of the memory of a run.
func (p Plan) need() need {
	var n need
	for _, m := range p.Memory {
		if m.Shared {
			n.shared += m.Bytes
		} else {
			n.own += m.Bytes
		}
	}
	return n
}

// CacheBytes is the share of the memory that keeps decoded blocks.
func (p Plan) CacheBytes() int64 { return cacheBytes(p.Limit) }

// Grid returns the tiles in the order they are segmented. Tiles that are blended go row by row: what they
// leave for the next panel would be as high as the slide.
func (p Plan) Grid(g unet.Geometry) slide.Grid {
	wide := panel
	if p.Overlap > 0 {
		wide = columns(p.Region.Dx(), p.Core)
	}
	return slide.Grid{Region: p.Region, Core: p.Core, Before: g.Before, After: p.Overlap + g.After, Panel: wide}
}

func columns(width, core int) int { return (width + core - 1) / core }

// Check refuses a plan that does not fit, with the sum and what would fit.
func (p Plan) Check() error {
	if p.Sum() <= p.Limit {
		return nil
	}
	var sum []string
	for _, n := range p.Memory {
		sum = append(sum, fmt.Sprintf("%s %s", n.For, mebibytes(n.Bytes)))
	}
	instead := ""
	if p.tileGiven {
		instead = ", or a smaller --tile"
	}
	return fmt.Errorf("%s needs %s, --memory is %s (%s): give --memory %dMiB or more%s",
		p.Slide, mebibytes(p.Sum()), mebibytes(p.Limit), strings.Join(sum, " + "), (p.least+1<<20-1)>>20, instead)
}

func mebibytes(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// A planner lays out the work on a slide within the memory of a run.
type planner struct {
	Config
	model  unet.Model
	region image.Rectangle
	below  int           // cores must be smaller, where there are such, px; 0: any
	scope  *stages.Scope // nil: not known yet, all is for the network
	within *room         // nil: --memory
}

// plan lays out the work on a view of s. Two slides at a time shall fit, unless this one computes much more with
// the smaller tiles that this takes.
func (p planner) plan(s *slide.Slide, v *slide.View) (Plan, error) {
	plan := Plan{
		Slide: s.Info().Path, Size: v.Size(), Region: p.region, Level: v.Level(), Scale: v.Scale(), MPP: v.MPP(),
		Overlap: p.Overlap, Workers: p.Workers, Limit: p.Memory, tileGiven: p.Tile > 0,
	}
	takes := func(core, workers int) need {
		needs, _ := p.needs(v, s, core, workers)
		return Plan{Memory: needs}.need()
	}
	fit := func(slides int) func(core, workers int) bool {
		return func(core, workers int) bool {
			n := takes(core, workers)
			if p.within != nil {
				return n.inside(p.within.choice)
			}
			return n.shared+int64(slides)*n.own <= p.Memory
		}
	}
	cores, err := p.cores(p.region.Size())
	if err != nil {
		return Plan{}, err
	}
	if p.below > 0 {
		cores = slices.DeleteFunc(cores, func(core int) bool { return core >= p.below && core > cores[0] })
	}
	slides, runs := 1, 1
	plan.Core = cores[0] // if nothing fits; Check has the last word
	if alone, ok := p.choose(cores, fit(1)); ok {
		plan.Core, runs = alone.core, alone.runs
		two, ok := p.choose(cores, fit(2))
		if ok && p.Slides != 1 && p.within == nil && two.runs == alone.runs && two.cost <= 1.05*alone.cost {
			plan.Core, slides = two.core, 2
		}
	}
	core := plan.Core
	if plan.Workers == 0 {
		plan.Workers = unet.InFlight(p.model, core)
	}
	run := fit(slides)
	if p.within != nil {
		run = func(core, workers int) bool { return takes(core, workers).inside(p.within.all) }
	}
	for plan.Workers > 1 && !run(core, plan.Workers) {
		plan.Workers--
	}
	plan.Readers = readers(plan.Workers)
	spec := p.model.Spec()
	plan.Halo = spec.Geometry.Input(core + p.Overlap)
	plan.Tiles = plan.Grid(spec.Geometry).Len()
	asked, seen := p.asked(core, 1)
	plan.Asked, plan.Seen = asked, int64(seen)
	plan.Memory, plan.tileBytes = p.needs(v, s, core, plan.Workers)
	plan.room.choice = takes(core, runs)
	plan.room.all = plan.room.choice.or(plan.need())
	plan.least = p.least(v, s, core, plan.Workers)
	plan.Wanted = unet.InFlight(p.model, core)
	free, _ := p.choose(cores, func(int, int) bool { return true })
	plan.Enough = p.least(v, s, free.core, unet.InFlight(p.model, free.core))
	return plan, nil
}

// least returns the memory in which tiles of a core fit with so many workers.
func (p planner) least(v *slide.View, s *slide.Slide, core, workers int) int64 {
	for {
		needs, _ := p.needs(v, s, core, workers)
		sum := Plan{Memory: needs}.Sum()
		if sum <= p.Memory {
			return sum
		}
		p.Memory = sum // some needs grow with what is given
	}
}

// asked returns how many tiles with cores of an edge the network is asked about, and how many pixels it looks at for
// them one after another, when they are shared out among lanes that are computed side by side.
func (p planner) asked(core, lanes int) (tiles int, cost float64) {
	g := p.model.Spec().Geometry
	grid := Plan{Region: p.region, Core: core, Overlap: p.Overlap}.Grid(g)
	trim := trims(p.model) && p.Overlap == 0
	busy := make([]float64, lanes)
	for t := range grid.All() {
		if p.scope != nil && !p.scope.Holds(t.Core) {
			continue
		}
		if trim && p.scope != nil {
			t = p.scope.Trim(t, g)
		}
		tiles++
		next := 0
		for i := range busy {
			if busy[i] < busy[next] {
				next = i
			}
		}
		busy[next] += float64(t.Halo.Dx()) * float64(t.Halo.Dy())
	}
	return tiles, slices.Max(busy)
}

// cores returns the edges that tiles may have, ascending: the one that --tile or the model prescribes;
// multiples of the mask's tiles; for a slide smaller than that, one tile that holds it. The last resort
// for little memory, a quarter of a mask tile, comes first.
func (p planner) cores(size image.Point) ([]int, error) {
	spec := p.model.Spec()
	stride := spec.Stride
	if spec.Input > 0 {
		if p.Tile > 0 {
			return nil, fmt.Errorf("--tile %d: the model takes only inputs of %d pixels, leave the flag out", p.Tile, spec.Input)
		}
		return []int{spec.Input - spec.Before - spec.After - p.Overlap}, nil
	}
	if p.Tile > 0 {
		if p.Tile%stride != 0 {
			return nil, fmt.Errorf("--tile %d is not a multiple of the model's stride: give %d", p.Tile, roundUp(p.Tile, stride))
		}
		return []int{p.Tile}, nil
	}
	step := stride
	for step%p.MaskTile != 0 {
		step += stride
	}
	whole := roundUp(max(size.X, size.Y), stride)
	if whole < step {
		return []int{whole}, nil
	}
	first := min(roundUp(max(step, p.Overlap), step), roundUp(whole, step)) // a tile shares pixels with the next one only
	cores := []int{max(stride, step/4/stride*stride)}
	if cores[0] < p.Overlap {
		cores[0] = first
	}
	most := max(cmp.Or(p.TileMost, maxCore), first)
	for core := first; core <= min(most, roundUp(whole, step)); core += step {
		cores = append(cores, core)
	}
	return cores, nil
}

// A choice is a core, the pixels that one processor computes with it, and how many predictions at a time it goes with.
type choice struct {
	core int
	cost float64
	runs int
}

// choose returns the core with which a run on this machine's processors computes fewest pixels, among
// those that fit the memory with as many predictions as the model wants, one a processor or those that fill a GPU, or
// with as many as fit. Big tiles waste less on overlap, small ones less beyond the slide's edge and the tissue's; the
// bigger one wins where that is within 5 %. It does not look at --workers: any number of them writes the same bytes.
func (p planner) choose(cores []int, fits func(core, workers int) bool) (best choice, ok bool) {
	wanted := func(core int) int { return unet.InFlight(p.model, core) }
	lanes := runtime.GOMAXPROCS(0) // tiles that are computed side by side, each as fast as alone
	if _, ok := p.model.(unet.ParallelModel); ok {
		lanes = 1
	}
	for fewer := range wanted(cores[0]) {
		least := math.Inf(1)
		for _, core := range cores[min(1, len(cores)-1):] {
			runs := max(1, wanted(core)-fewer)
			if !fits(core, runs) {
				break
			}
			_, cost := p.asked(core, min(lanes, runs))
			if least = min(least, cost); cost <= 1.05*least {
				best, ok = choice{core, cost, runs}, true
			}
		}
		if ok {
			return best, true
		}
	}
	return best, false
}

// cacheBytes is the share of the memory that keeps decoded blocks: little where memory is short. 96 MiB
// hold a row of a panel's largest cores, so that the blocks it shares with the next row are decoded once.
func cacheBytes(memory int64) int64 { return min(max(memory/8-32<<20, 8<<20), 128<<20) }

// readers returns how many tiles are read at a time for workers: reading takes a processor.
func readers(workers int) int { return min(workers, max(runtime.GOMAXPROCS(0), 2)) }

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

// needs lists what tiles of a core need, and the part of it that is tiles in flight.
func (p planner) needs(v *slide.View, s *slide.Slide, core, workers int) (needs []Need, tiles int64) {
	size, spec := p.region.Size(), p.model.Spec()
	tile := core + p.Overlap
	halo := int64(spec.Geometry.Input(tile))
	lease := halo*halo*int64(spec.Channels) + int64(core)*int64(core)
	wide, blend, copies := panel, int64(0), int64(2) // of the weights: the file's, and a session's
	if p.Overlap > 0 {
		wide, copies = columns(size.X, core), 3 // one session gives the labels, one the logits
		blend = stages.BlendBytes(size.X, core, p.Overlap, spec)
		lease += 4 * int64(tile) * int64(tile) * int64(spec.Logits)
	}
	readers := readers(workers)
	tiles = lease * int64(readers+2*workers+1) // one read, one inferred, one waiting for its turn
	parents := sink.OpenBytes(size, p.MaskTile, core, wide)
	index := sink.IndexBytes(size, p.MaskTile)
	cache := cacheBytes(p.Memory)
	needs = []Need{
		{"base", base + copies*spec.Size, true},
		{fmt.Sprintf("model %d ×", workers), unet.Memory(p.model, tile, workers), true},
		{"decoder", s.Info().Resident + int64(readers)*v.ScratchBytes(int(halo)), false},
		{"blocks", cache, false},
		{"open mask tiles", parents + index, false},
		{"tiles in flight", tiles, false},
		{"journal", sink.JournalBytes(core), false},
		{"garbage", (cache + parents + tiles + blend) * GCPercent / 100, false},
	}
	if p.Tissue != TissueOff || spec.PerSlide { // before there are tiles, but perhaps beside another slide that has some
		more := tissue.Bytes(v, p.MPP) - parents - index - tiles
		if p.Slides == 1 {
			more -= unet.Memory(p.model, tile, workers)
		}
		if more > 0 {
			needs = append(needs, Need{"looking for tissue", more, false})
		}
	}
	if p.Overlap > 0 {
		needs = append(needs, Need{"band of tiles that overlap", blend, false})
	}
	return needs, tiles
}
