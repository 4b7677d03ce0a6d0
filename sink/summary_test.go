package sink

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// fill sets every field of a value to something of its own.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Repeat("x", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		item := reflect.New(v.Type().Elem()).Elem()
		fill(item, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("mask.tif"), item)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 24, 6, 0, *n, 5000, time.UTC)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	default:
		panic("summary with a field of a new kind: " + v.Kind().String())
	}
}

func TestSummaryRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "summary.json")
	var full Summary
	fill(reflect.ValueOf(&full).Elem(), new(int))
	unknown := full
	unknown.Classes = []ClassSummary{{Label: 1, Name: "nucleus", Pixels: 7}} // area unknown
	for _, want := range []*Summary{&full, &unknown} {
		if err := WriteSummary(Disk, path, want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadSummary(path)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, want %+v", got, want)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if null := bytes.Contains(data, []byte(`"mm2": null`)); null != (want == &unknown) || !bytes.HasSuffix(data, []byte("}\n")) {
			t.Errorf("summary.json is %s", data)
		}
	}
	if got := left(t, filepath.Dir(path)); !slices.Equal(got, []string{"summary.json"}) {
		t.Errorf("left %v", got)
	}
}

func TestReadSummaryDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "summary.json")
	if _, err := ReadSummary(path); !os.IsNotExist(err) {
		t.Errorf("no file: error %v", err)
	}
	whole, err := json.Marshal(&Summary{Slide: SlideSummary{Fingerprint: "f"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"", "{", "[]", "null", "{}", "\x00\x00", `{"slide": 3}`, string(whole[:len(whole)-1]), string(whole) + "x", `{"slide": {"fingerprint": ""}}`} {
		if err := os.WriteFile(path, []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
		s, err := ReadSummary(path)
		if err == nil || s != nil || !strings.Contains(err.Error(), "not a summary of microtome") {
			t.Errorf("%q: summary %v, error %v", data, s, err)
		}
	}
}

// TestFingerprint pins the definition: sha256sum of the length in decimal, a line end, the first MiB and
// the last MiB. The sums were computed with coreutils.
func TestFingerprint(t *testing.T) {
	const mib = 1 << 20
	path := filepath.Join(t.TempDir(), "slide")
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "9a271f2a916b0b6ee6cecb2426f0b3206ef074578be55d9bc94f6f3fe3ab86aa"},             // printf '0\n'
		{"short", []byte("hello"), "0cd90f2bd9784e846c822258ab77e1326e2d52bd3b318d54d12ee879cc1d5628"}, // printf '5\nhellohello'
		{"long", append(append(bytes.Repeat([]byte("a"), mib), "middle"...), bytes.Repeat([]byte("b"), mib)...), "317645cf54b91b0d9412dc37421e84a550ad7d74fbb63d9a8e7fb5f5f7bf4a98"},
	} {
		if err := os.WriteFile(path, c.data, 0o666); err != nil {
			t.Fatal(err)
		}
		if got, err := Fingerprint(path); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
	if _, err := Fingerprint(path + "x"); !os.IsNotExist(err) {
		t.Errorf("no file: error %v", err)
	}
	if _, err := Fingerprint(filepath.Dir(path)); err == nil {
		t.Error("a folder has a fingerprint")
	}
}

func TestDescribe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("abc"), 0o666); err != nil {
		t.Fatal(err)
	}
	// FIPS 180-2, appendix B.1.
	want := Output{3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
	if got, err := Describe(path); err != nil || got != want {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if _, err := Describe(path + "x"); !os.IsNotExist(err) {
		t.Errorf("no file: error %v", err)
	}
}
