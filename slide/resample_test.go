package slide

import (
	"context"
	"image"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// white is a slide of one colour.
type white struct{ size image.Point }

func (w white) Info() Info {
	return Info{MPP: 1, Levels: []Level{{w.size, 1, image.Pt(64, 64)}}, Bounds: image.Rectangle{Max: w.size}}
}

func (white) ReadBlock(context.Context, int, int, int, []byte) error { return nil }
func (white) Close() error                                           { return nil }

// The memory plan counts on ScratchBytes.
func TestScratchBytesBoundsTheScratch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, err := New(white{image.Pt(300, 300)}, Config{CacheBytes: 1 << 20}).AtMPP(rapid.Float64Range(0.1, 20).Draw(t, "mpp"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if v.scale == 1 {
			return
		}
		edge := rapid.IntRange(1, 120).Draw(t, "edge")
		at := image.Pt(rapid.IntRange(-150, 150).Draw(t, "x"), rapid.IntRange(-150, 150).Draw(t, "y"))
		s := new(scratch)
		if err := v.resampleWith(context.Background(), s, make([]byte, 3*edge*edge), image.Rect(0, 0, edge, edge).Add(at)); err != nil {
			t.Fatal(err)
		}
		used := cap(s.level) + 2*cap(s.wide) + 4*cap(s.sum) + 4*cap(s.store) + int(unsafe.Sizeof(kernel{}))*(cap(s.columns)+cap(s.rows))
		if int64(used) > v.ScratchBytes(edge) {
			t.Fatalf("scale %.2f, edge %d: %d bytes are used, ScratchBytes says %d", v.scale, edge, used, v.ScratchBytes(edge))
		}
	})
}
