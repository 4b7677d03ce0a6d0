package onnx

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Load reads the weights that lie in other files, which must stand in dir or below it. It reports whether there were any.
func (m *Model) Load(dir string) (bool, error) {
	loaded := false
	for _, t := range m.Graph.Weights {
		if t.External == "" {
			continue
		}
		if err := t.load(dir); err != nil {
			return loaded, err
		}
		loaded = true
	}
	return loaded, nil
}

func (t *Tensor) load(dir string) error {
	name := filepath.FromSlash(t.External)
	if !filepath.IsLocal(name) {
		return fmt.Errorf("weights %s lie in %s, outside the model's folder: export the model as a single file", t.Name, t.External)
	}
	size := int64(t.Len()) * int64(Size(t.Type))
	if size < 0 || Size(t.Type) == 0 || t.offset < 0 {
		return ErrDamaged
	}
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("the model keeps its weights in another file, %s, which is not beside it: copy it there, or export the model as a single file", t.External)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if t.offset+size > info.Size() {
		return fmt.Errorf("%s is too short for the model's weights %s: copy it again", t.External, t.Name)
	}
	t.Data = make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, t.offset, size), t.Data); err != nil {
		return fmt.Errorf("%s: %w", t.External, err)
	}
	t.External, t.offset, t.elsewhere = "", 0, nil
	return nil
}

// At returns the tensor as it is written where its elements lie in another file, from an offset on.
func (t *Tensor) At(location string, offset int64) *Tensor {
	out := &Tensor{Name: t.Name, Type: t.Type, Dims: t.Dims, External: location, offset: offset}
	for _, e := range []Entry{{"location", location}, {"offset", strconv.FormatInt(offset, 10)}, {"length", strconv.Itoa(len(t.Data))}} {
		out.elsewhere = message(out.elsewhere).bytes(13, message{}.text(1, e.Key).text(2, e.Value))
	}
	out.elsewhere = message(out.elsewhere).number(14, 1)
	return out
}

// DropShapes forgets the shapes of values between nodes.
func (g *Graph) DropShapes() {
	var kept []byte
	_ = fields(g.rest, func(f field) error { // it was split before
		if f.id != 13 {
			kept = append(kept, f.whole...)
		}
		return nil
	})
	g.rest = kept
}
