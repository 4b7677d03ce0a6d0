package bench

import (
	"fmt"
	"runtime"
	"strings"

	"microtome/bench/results"
	"microtome/pipeline"
)

// What limits a run, beside the names of stages.
const (
	LimitMemory     = "memory"     // tiles are fewer at a time than would be best
	LimitProcessors = "processors" // no stage alone, but all of them together
	LimitSlides     = "slides"     // what is done for each slide beside its tiles
)

// waitPhase is the phase in which a slide waits for others: it is no work.
const waitPhase = "wait for a place"

// An Explanation names what limits a run.
type Explanation struct {
	Limit  string // the stage whose workers the others wait for, or LimitMemory and so on; "": nothing is known
	Reason string // a sentence
	Advice string // another, with the flag that would help, or what would
}

func (e Explanation) String() string { return strings.TrimSpace(e.Reason + " " + e.Advice) }

// Explain says what limited the run.
func (w *Watch) Explain() Explanation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.explain()
}

// full is the share of its time in which the workers of the stage that the others wait for are busy, at least.
const full = 0.8

func (w *Watch) explain() Explanation {
	stages := w.shares()
	if len(stages) == 0 || w.tiles == 0 {
		return Explanation{Reason: "No tile was computed, so nothing is known of what limits it."}
	}
	var top, infer, read results.Stage
	for _, s := range stages {
		if s.Stage == "read" {
			read = s
		}
		if s.Stage == "infer" {
			infer = s
		}
		if s.Busy > top.Busy {
			top = s
		}
	}
	outside, phase := w.outside()
	crowded := w.processors() >= full*float64(runtime.GOMAXPROCS(0))
	switch {
	case crowded && read.Busy >= full/2 && infer.Busy >= full/2: // they take the processors from each other
		return w.processorsLimit()
	case w.modelBusy() >= full || infer.Busy+infer.Waiting >= full && w.modelBusy() >= full/2: // it waits for other slides' tiles in the network
		return w.modelLimit()
	case outside > 0.4:
		return w.slidesLimit(outside, phase)
	case top.Stage == "infer" && top.Busy >= full:
		return w.modelLimit()
	case top.Busy >= full:
		return w.stageLimit(top)
	case crowded:
		return w.processorsLimit()
	}
	return w.stageLimit(top)
}

// slow reports whether what was at work waited for something that is no processor, most of the time.
func (w *Watch) slow() bool { return w.processors() < 0.5*w.atWork() }

// outside returns the share of the slides' time beside their tiles, and what most of it went into.
func (w *Watch) outside() (share float64, most results.Phase) {
	var all, tiles float64
	for _, p := range w.phases {
		switch p.Phase {
		case waitPhase:
			continue
		case "tiles":
			tiles = p.Seconds
		default:
			if p.Seconds > most.Seconds {
				most = p
			}
		}
		all += p.Seconds
	}
	if all == 0 {
		return 0, most
	}
	return 1 - tiles/all, most
}

func (w *Watch) slidesLimit(outside float64, most results.Phase) Explanation {
	e := Explanation{Limit: LimitSlides, Reason: fmt.Sprintf("What is done beside tiles limits this run: %s of the slides' time, most of it %s.", percent(outside), phaseText(most.Phase))}
	switch {
	case w.slow() && most.Phase == "finish":
		e.Advice = "The processors had little to do meanwhile: results on a faster disk would help."
	case w.slow():
		e.Advice = "The processors had little to do meanwhile: slides that are copied to a faster disk first would help."
	case len(w.courses) > 1 && w.cfg.Slides == 1:
		e.Advice = "More slides at work at a time fill such gaps: leave --slides out."
	case most.Phase == "tissue":
		e.Advice = "Where slides are full of tissue, --tissue off leaves that out."
	default:
		e.Advice = "The larger slides are, the less it counts."
	}
	return e
}

func phaseText(phase string) string {
	switch phase {
	case "open":
		return "opening them"
	case "tissue":
		return "looking for tissue"
	case "overlay":
		return "their small pictures for overlay.png"
	case "finish":
		return "finishing their files"
	}
	return phase
}

// modelLimit explains a run whose network is busy all the time, as it should be.
func (w *Watch) modelLimit() Explanation {
	e := Explanation{Limit: "infer", Reason: fmt.Sprintf("The network limits this run: it computed %s of the time, and the other stages waited for it.", percent(w.modelBusy()))}
	plan := w.plan
	switch {
	case plan.Workers < plan.Wanted && w.cfg.Workers > 0 && w.cfg.Workers <= plan.Workers:
		e.Advice = fmt.Sprintf("It had %d tiles at a time and wants %d: give --workers %[2]d, or leave the flag out.", plan.Workers, plan.Wanted)
	case plan.Workers < plan.Wanted:
		e.Limit = LimitMemory
		e.Reason = fmt.Sprintf("Memory limits this run: there is room for %d of the %d tiles that the network could compute at a time.", plan.Workers, plan.Wanted)
		e.Advice = fmt.Sprintf("Give --memory %s or more.", mebibytes(plan.Enough))
	case w.waste() > 1.3 && w.cfg.Tile == 0 && plan.Limit < plan.Enough:
		e.Limit = LimitMemory
		e.Reason += fmt.Sprintf(" It saw %.2f pixels for one that it labelled, since memory lets tiles be no larger.", w.waste())
		e.Advice = fmt.Sprintf("Give --memory %s.", mebibytes(plan.Enough))
	case w.waste() > 1.3 && w.cfg.Tile > 0:
		e.Advice = fmt.Sprintf("It saw %.2f pixels for one that it labelled: a larger --tile than %d, or none, wastes less.", w.waste(), w.cfg.Tile)
	default:
		e.Advice = w.faster()
		if w.cfg.Tissue == pipeline.TissueOff {
			e.Advice = "With --tissue auto it looks only where there is tissue. " + e.Advice
		}
	}
	return e
}

// faster says how a network gets faster on what it runs on.
func (w *Watch) faster() string {
	switch {
	case strings.Contains(w.engine, "cpu"):
		return "On a CPU with VNNI a model that microtome quantize makes is two to three times as fast; a GPU (--device) or more processors do the rest."
	case strings.Contains(w.engine, "gorgonia"):
		return "With ONNX Runtime (make setup) models run on GPUs too, and quantised."
	}
	return "Several GPUs share the tiles out (--device cuda:0,cuda:1); --fp16 lets TensorRT compute in half precision."
}

// stageLimit explains a run in which the workers of another stage are those that all wait for.
func (w *Watch) stageLimit(s results.Stage) Explanation {
	e := Explanation{Limit: s.Stage, Reason: fmt.Sprintf("The stage %s limits this run: its workers, %d of them, were busy %s of the time, and the network %s.", s.Stage, s.Workers, percent(s.Busy), percent(w.modelBusy()))}
	switch {
	case s.Stage == "read" && w.slow():
		e.Advice = "The processors had little to do meanwhile, so the storage is slow: copy slides to a local disk first."
	case s.Stage == "read" && w.cfg.Workers > 0 && w.cfg.Workers < runtime.GOMAXPROCS(0):
		e.Advice = fmt.Sprintf("Decoding takes processors, and --workers lets it have %d of %d: leave the flag out.", w.cfg.Workers, runtime.GOMAXPROCS(0))
	case s.Stage == "read" && w.cfg.Tissue == pipeline.TissueOff:
		e.Advice = "Decoding takes the processors: --tissue auto leaves out what is empty."
	case s.Stage == "read":
		e.Advice = "Decoding takes the processors: more of them would help."
	case s.Stage == "write" && w.slow():
		e.Advice = "The processors had little to do meanwhile, so the disk is slow: put the results (segment -o) on a faster one."
	case s.Stage == "write" && w.cfg.Compression != "packbits":
		e.Advice = "One processor compresses the mask: packbits (segment --compression, bench --sink) is faster, and its files are twice as large."
	case s.Stage == "blend":
		e.Advice = "One processor blends tiles: a smaller --overlap, or a model that does not see its whole tile, needs less of it."
	case s.Busy < full:
		e.Advice = "Nothing waits for long: the run is short, or its stages are well balanced."
	}
	return e
}

func (w *Watch) processorsLimit() Explanation {
	var parts []string
	var busy float64
	for _, s := range w.stages {
		busy += s.Seconds
	}
	for _, s := range w.stages {
		if share := s.Seconds / busy; share >= 0.1 {
			parts = append(parts, fmt.Sprintf("%s %s", s.Stage, percent(share)))
		}
	}
	e := Explanation{Limit: LimitProcessors, Reason: fmt.Sprintf("The processors limit this run: %.1f of %d were busy (%s), and no stage waits for another.", w.processors(), runtime.GOMAXPROCS(0), strings.Join(parts, ", "))}
	e.Advice = "More of them would help."
	if w.cfg.Tissue == pipeline.TissueOff {
		e.Advice = "More of them would help, and so would --tissue auto."
	}
	return e
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// mebibytes is a number of bytes as --memory takes it, rounded up.
func mebibytes(n int64) string { return fmt.Sprintf("%dMiB", (n+1<<20-1)>>20) }
