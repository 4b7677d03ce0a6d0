package main

import (
	"fmt"

	"microtome/unet/train"
)

const stoppingTraining = "writing a checkpoint; press Ctrl-C again to stop at once, without"

// recent holds running means over some 20 steps.
type recent struct {
	loss, iou, seconds float64
	steps              int
}

func (r *recent) add(s train.Step) {
	r.steps++
	k := max(0.05, 1/float64(r.steps))
	r.loss, r.iou, r.seconds = r.loss+k*(s.Loss-r.loss), r.iou+k*(s.IoU-r.iou), r.seconds+k*(s.Seconds-r.seconds)
}

// listen makes a job tell how a run goes on.
func (j *job) listen(r *train.Run) {
	r.Begun = func(b train.Begun) {
		j.say(fmt.Sprintf("%d images to train on, %d to validate with; %d weights; tiles of %d px", b.Training, b.Validation, b.Weights, b.Tile),
			"training", fields{"training": b.Training, "validation": b.Validation, "weights": b.Weights, "tile": b.Tile, "step": b.Step, "steps": b.Steps})
		j.begin("step", b.Step, b.Steps)
	}
	var mean recent
	r.Step = func(s train.Step) {
		mean.add(s)
		text := fmt.Sprintf("loss %.3f  IoU %.3f  %.2f s/step  %s", mean.loss, mean.iou, mean.seconds, left(float64(s.Steps-s.Step), mean.seconds))
		if s.Validates {
			text = "validating"
		}
		j.progress(s.Step, text, fields{"step": s.Step, "steps": s.Steps, "loss": mean.loss, "iou": mean.iou, "rate": s.Rate, "seconds_per_step": mean.seconds})
	}
	r.Validated = func(v train.Validated) {
		text := fmt.Sprintf("step %d: loss %.3f, training IoU %.3f", v.Step, v.Loss, v.IoU)
		if v.Images > 0 {
			text += fmt.Sprintf("; validation IoU %.3f, object F1 %.3f", v.Scores.IoU, v.Scores.F1At50)
		}
		if v.Best && v.Images > 0 {
			text += ", the best so far"
		}
		j.say(text, "validated", fields{
			"step": v.Step, "loss": v.Loss, "iou": v.IoU, "seconds": v.Seconds, "images": v.Images,
			"f1_50": v.Scores.F1At50, "validation_iou": v.Scores.IoU, "best": v.Best,
		})
	}
}
