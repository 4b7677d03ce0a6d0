package npy_test

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"microtome/unet/npy"
)

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dims := rapid.SliceOfN(rapid.IntRange(1, 4), 0, 4).Draw(t, "dims")
		n := 1
		for _, d := range dims {
			n *= d
		}
		values := rapid.SliceOfN(rapid.Float32(), n, n).Draw(t, "values")
		a, err := npy.Decode(npy.Encode(dims, values))
		if err != nil || !slices.Equal(a.Shape, dims) || !slices.Equal(a.Values, values) {
			t.Fatalf("%v %v, %v", a.Shape, a.Values, err)
		}
		labels := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "labels")
		a, err = npy.Decode(npy.Encode(dims, labels))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range labels {
			if a.Values[i] != float32(v) {
				t.Fatalf("%d was read as %g", v, a.Values[i])
			}
		}
	})
}

// The types that a file may hold, by hand: header as numpy writes it, then the bytes of two numbers.
func TestTypes(t *testing.T) {
	file := func(kind, body string) []byte {
		header := "{'descr': '" + kind + "', 'fortran_order': False, 'shape': (2,), }\n"
		return []byte("\x93NUMPY\x01\x00" + string([]byte{byte(len(header)), 0}) + header + body)
	}
	for _, c := range []struct {
		kind, body string
		want       []float32
	}{
		{"<f2", "\x00\x3c\x01\x00", []float32{1, 1.0 / (1 << 24)}},
		{"<f2", "\x00\xfc\xff\x7b", []float32{float32(math.Inf(-1)), 65504}},
		{">f4", "\x3f\x80\x00\x00\xc0\x00\x00\x00", []float32{1, -2}},
		{"<f8", "\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\xe0\xbf", []float32{1, -0.5}},
		{"|i1", "\xff\x01", []float32{-1, 1}},
		{"|u1", "\xff\x01", []float32{255, 1}},
		{"|b1", "\x00\x01", []float32{0, 1}},
		{"<i2", "\xfe\xff\x01\x00", []float32{-2, 1}},
		{"<u2", "\xfe\xff\x01\x00", []float32{65534, 1}},
		{"<i4", "\xfe\xff\xff\xff\x01\x00\x00\x00", []float32{-2, 1}},
		{"<u4", "\x02\x00\x00\x00\x01\x00\x00\x00", []float32{2, 1}},
		{"<i8", "\xfe\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00", []float32{-2, 1}},
	} {
		a, err := npy.Decode(file(c.kind, c.body))
		if err != nil || !slices.Equal(a.Values, c.want) {
			t.Errorf("%s: %v, %v", c.kind, a.Values, err)
		}
		if _, err := npy.Decode(file(c.kind, c.body[1:])); err == nil {
			t.Errorf("%s: a short file is read", c.kind)
		}
	}
	if _, err := npy.Decode(file("<c8", strings.Repeat("\x00", 16))); err == nil || !strings.Contains(err.Error(), "not a NumPy file") {
		t.Errorf("complex numbers: %v", err)
	}
}

// NumPy reads what the package writes.
func TestNumPyReadsIt(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil || exec.Command(python, "-c", "import numpy").Run() != nil {
		t.Skip("no python3 with numpy here")
	}
	path := filepath.Join(t.TempDir(), "a.npy")
	if err := os.WriteFile(path, npy.Encode([]int{2, 3}, []float32{1, 2, 3, 4, 5, -0.5}), 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", "import numpy,sys; a=numpy.load(sys.argv[1]); print(a.dtype, a.tolist())", path).CombinedOutput()
	if err != nil || string(out) != "float32 [[1.0, 2.0, 3.0], [4.0, 5.0, -0.5]]\n" {
		t.Errorf("%s, %v", out, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(npy.Encode([]int{1, 2}, []float32{1, 2}))
	f.Add(npy.Encode(nil, []uint8{1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := npy.Decode(data)
		if err != nil {
			return
		}
		n := 1
		for _, d := range a.Shape {
			n *= d
		}
		if n != len(a.Values) || n > len(data) {
			t.Errorf("shape %v, %d values of %d bytes", a.Shape, len(a.Values), len(data))
		}
	})
}
