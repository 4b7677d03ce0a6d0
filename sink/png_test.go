package sink

import (
	"bytes"
	"image"
	"image/png"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// TestPNG: the standard library reads the pixels that were written, whatever the size, also of a part of a picture.
func TestPNG(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 300).Draw(t, "width"), rapid.IntRange(1, 40).Draw(t, "height")
		whole := image.NewRGBA(image.Rect(-3, 5, w+10, h+20))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for i := range whole.Pix {
			whole.Pix[i] = byte(r.IntN(256))
			if i%4 == 3 {
				whole.Pix[i] = 255
			}
		}
		m := whole.SubImage(image.Rect(2, 6, 2+w, 6+h)).(*image.RGBA)
		data, err := encodePNG(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if got.Bounds().Size() != m.Rect.Size() {
			t.Fatalf("%v pixels, want %v", got.Bounds().Size(), m.Rect.Size())
		}
		for y := range h {
			for x := range w {
				if a, b := got.At(x, y), m.At(2+x, 6+y); a != b {
					t.Fatalf("pixel (%d, %d) is %v, want %v", x, y, a, b)
				}
			}
		}
	})
}
