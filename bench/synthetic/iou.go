package synthetic

import (
	"context"
	"errors"
	"fmt"
	"image"

	"microtome/slide"
)

// IoU compares a mask with a truth of the same size, any label above 0 against any other: pixels in
// both divided by pixels in either; 1 when neither has any. It reads both tile by tile.
func IoU(ctx context.Context, maskPath, truthPath string) (iou float64, err error) {
	var views [2]*slide.View
	for i, path := range []string{maskPath, truthPath} {
		s, openErr := slide.Open(path, slide.NewDefaultConfig())
		if openErr != nil {
			return 0, openErr
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		if views[i], err = s.AtLevel(0); err != nil {
			return 0, err
		}
	}
	size := views[0].Size()
	if size != views[1].Size() {
		return 0, fmt.Errorf("%s has %v pixels, %s has %v: a mask and its truth have the same size", maskPath, size, truthPath, views[1].Size())
	}
	const edge = 1024
	var both, either int64
	var pix [2][]byte
	for t := range (slide.Grid{Region: image.Rectangle{Max: size}, Core: edge, Panel: 8}).All() {
		for i, v := range views {
			pix[i] = append(pix[i][:0], make([]byte, 3*t.Core.Dx()*t.Core.Dy())...)
			if err := v.Read(ctx, pix[i], t.Core); err != nil {
				return 0, err
			}
		}
		for i := 0; i < len(pix[0]); i += 3 {
			a, b := pix[0][i] > 0, pix[1][i] > 0
			if a && b {
				both++
			}
			if a || b {
				either++
			}
		}
	}
	if either == 0 {
		return 1, nil
	}
	return float64(both) / float64(either), nil
}
