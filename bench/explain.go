package bench

import (
	"fmt"
	"runtime"
	"strings"

	"microtome/bench/results"
)

// What limits a run, beside the names of stages.
const (
	LimitMemory     = "memory"     // tiles wait for it, or there are fewer of them, or smaller ones, than would be best
	LimitProcessors = "processors" // no stage alone, but all of them together
	LimitSlides     = "slides"     // what is done for each slide beside its tiles
)

// An Explanation names what limits a run.
type Explanation struct {
	Limit  string // the stage whose workers the others wait for, or LimitMemory and so on; "": there was nothing to do
	Reason string // a sentence
	Advice string // another, with the flag that would help
}

func (e Explanation) String() string { return strings.TrimSpace(e.Reason + " " + e.Advice) }

// Explain says what limited the run.
func (w *Watch) Explain() Explanation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.explain()
}

// idle is the share of the processors' time below which they wait for something else.
const idle = 0.6

// full is the share of its time in which the workers of the stage that the others wait for are busy, at least.
const full = 0.8

func (w *Watch) explain() Explanation {
	stages := w.shares()
	if len(stages) == 0 || w.tiles == 0 {
		return Explanation{Reason: "No tile was computed, so nothing is known of what limits it."}
	}
	var top, lease results.Stage
	for _, s := range stages {
		if s.Busy > top.Busy {
			top = s
		}
		if s.Stage == "lease" {
			lease = s
		}
	}
	outside, phase := w.outside()
	cpu := w.processors()
	switch {
	case outside > 0.4 && w.modelBusy() < 0.7:
		return w.slidesLimit(outside, phase, cpu)
	case top.Stage == "infer" && top.Busy >= full:
		return w.modelLimit(top)
	case top.Busy >= full:
		return w.stageLimit(top, cpu)
	case cpu >= full:
		return w.processorsLimit(cpu)
	case lease.Waiting >= 0.5:
		return Explanation{
			LimitMemory, fmt.Sprintf("Memory limits this run: %s of the time the next tile waited for some, while the network's workers were busy for %s.", percent(lease.Waiting), percent(w.modelBusy())),
			fmt.Sprintf("Give --memory %s or more, or a smaller --tile.", mebibytes(w.plan.Enough)),
		}
	}
	return w.stageLimit(top, cpu)
}

// outside returns the share of the slides' time beside their tiles, and what most of it went into.
func (w *Watch) outside() (share float64, most results.Phase) {
	var all, tiles float64
	for _, p := range w.phases {
		all += p.Seconds
		if p.Phase == "tiles" {
			tiles = p.Seconds
		} else if p.Seconds > most.Seconds {
			most = p
		}
	}
	if all == 0 {
		return 0, most
	}
	return 1 - tiles/all, most
}

func (w *Watch) slidesLimit(outside float64, most results.Phase, cpu float64) Explanation {
	e := Explanation{Limit: LimitSlides, Reason: fmt.Sprintf("What is done beside tiles limits this run: %s of the slides' time, most of it %s.", percent(outside), phaseText(most.Phase))}
	switch {
	case cpu < idle && most.Phase != "wait for memory":
		e.Advice = fmt.Sprintf("The processors were busy for %s only, so the storage is slow: copy slides to a local disk first, or have more of them at work at a time, --slides 4.", percent(cpu))
	case most.Phase == "tissue":
		e.Advice = "Where slides are full of tissue, --tissue off leaves that out."
	case most.Phase == "wait for memory":
		e.Advice = fmt.Sprintf("Give --memory %s or more.", mebibytes(2*w.plan.Enough))
	default:
		e.Advice = "More slides at work at a time, --slides 4, fill such gaps."
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
func (w *Watch) modelLimit(infer results.Stage) Explanation {
	e := Explanation{Limit: infer.Stage, Reason: fmt.Sprintf("The network limits this run: it computed %s of the time, and the other stages waited for it.", percent(infer.Busy))}
	plan, procs := w.plan, runtime.GOMAXPROCS(0)
	switch {
	case plan.Workers < plan.Wanted && plan.Limit < plan.Enough:
		e.Limit = LimitMemory
		e.Reason = fmt.Sprintf("Memory limits this run: there is room for %d of the %d tiles that the network could compute at a time.", plan.Workers, plan.Wanted)
		e.Advice = fmt.Sprintf("Give --memory %s or more.", mebibytes(plan.Enough))
	case plan.Workers < plan.Wanted:
		e.Advice = fmt.Sprintf("It had %d tiles at a time and wants %d: give --workers %d, or leave the flag out.", plan.Workers, plan.Wanted, plan.Wanted)
	case w.waste() > 1.3 && plan.Limit < plan.Enough:
		e.Advice = fmt.Sprintf("It saw %.2f pixels for one that it labelled, since tiles are small: larger ones fit with --memory %s.", w.waste(), mebibytes(plan.Enough))
	case !w.tissue:
		e.Advice = "With --tissue auto it looks only where there is tissue; " + w.faster(procs)
	default:
		e.Advice = strings.ToUpper(w.faster(procs)[:1]) + w.faster(procs)[1:]
	}
	return e
}

// faster says how a network gets faster on what it runs on.
func (w *Watch) faster(procs int) string {
	switch {
	case strings.Contains(w.engine, "cpu"):
		return fmt.Sprintf("microtome quantize makes most models two to three times as fast on a CPU with VNNI; a GPU (--device) or more processors than %d do the rest.", procs)
	case strings.Contains(w.engine, "gorgonia"):
		return "with ONNX Runtime (make setup) models run on GPUs too, and quantised."
	}
	return "several GPUs share the tiles out (--device cuda:0,cuda:1); --fp16 lets TensorRT compute in half precision."
}

// stageLimit explains a run in which the workers of another stage are those that all wait for.
func (w *Watch) stageLimit(s results.Stage, cpu float64) Explanation {
	e := Explanation{Limit: s.Stage, Reason: fmt.Sprintf("The stage %s limits this run: its workers, %d of them, were busy %s of the time, and the network %s.", s.Stage, s.Workers, percent(s.Busy), percent(w.modelBusy()))}
	switch {
	case s.Stage == "read" && cpu < idle:
		e.Advice = fmt.Sprintf("The processors were busy for %s only, so the storage is slow: copy slides to a local disk first, or read more tiles at a time with --workers %d.", percent(cpu), 2*s.Workers)
	case s.Stage == "read":
		e.Advice = fmt.Sprintf("Decoding takes the processors: --workers %d lets more of them do it, and --tissue auto leaves out what is empty.", 2*s.Workers)
	case s.Stage == "write" && cpu < idle:
		e.Advice = fmt.Sprintf("The processors were busy for %s only, so the disk is slow: give -o on a faster one.", percent(cpu))
	case s.Stage == "write":
		e.Advice = "One processor compresses the mask: --compression packbits is twice as fast as lzw, for files twice as large."
	case s.Stage == "blend":
		e.Advice = "One processor blends tiles: a smaller --overlap, or a model that does not see its whole tile, needs less of it."
	case s.Stage == "infer":
		e.Advice = "Nothing waits for long: the run is short, or its stages are well balanced."
	}
	return e
}

func (w *Watch) processorsLimit(cpu float64) Explanation {
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
	return Explanation{
		LimitProcessors, fmt.Sprintf("The processors limit this run: they were busy for %s of the time (%s), and no stage waits for another.", percent(cpu), strings.Join(parts, ", ")),
		"More of them, or --tissue auto where it is off, would help.",
	}
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// mebibytes is a number of bytes as --memory takes it, rounded up.
func mebibytes(n int64) string { return fmt.Sprintf("%dMiB", (n+1<<20-1)>>20) }
