package quantize

import (
	"context"
	"slices"
	"time"

	"microtome/unet"
)

// A Comparison is how two models do on the same tiles.
type Comparison struct {
	Speed  float64 `json:"speed"`  // of the second, as a multiple of the first's: the median over all runs
	Agree  float64 `json:"agree"`  // share of the pixels that both give the same label
	Before float64 `json:"before"` // pixels of cores that the first labels in a second
	After  float64 `json:"after"`  // the second
}

// Compare runs two models in turn on tiles, as often as rounds says, and counts the runs of the first round for nothing: memory comes then.
// Turns make the ratio one of the models, whatever else the machine does.
func Compare(ctx context.Context, a, b unet.Model, tiles []Tile, rounds int, progress func(done int)) (Comparison, error) {
	var c Comparison
	var ratios []float64
	var took [2][]float64
	agree, all := 0, 0
	for round := range rounds + 1 {
		for i, t := range tiles {
			var labels [2][]byte
			var seconds [2]float64
			for k, m := range []unet.Model{a, b} {
				began := time.Now()
				var err error
				if labels[k], err = t.label(ctx, m); err != nil {
					return c, err
				}
				seconds[k] = time.Since(began).Seconds()
			}
			progress(round*len(tiles) + i + 1)
			if round == 0 {
				agree += len(labels[0]) - different(labels[0], labels[1])
				all += len(labels[0])
				continue
			}
			ratios = append(ratios, seconds[0]/seconds[1])
			for k, s := range seconds {
				took[k] = append(took[k], s)
			}
		}
	}
	c.Speed, c.Agree = median(ratios), float64(agree)/float64(all)
	pixels := float64(all) / float64(len(tiles))
	c.Before, c.After = pixels/median(took[0]), pixels/median(took[1])
	return c, nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
