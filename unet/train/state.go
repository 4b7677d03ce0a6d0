package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"microtome/unet"
	"microtome/unet/network"
)

// A state is all that the next step depends on, and the best weights so far.
type state struct {
	header
	params        network.Params // what the gradients move
	first, second [][]float32    // the optimiser's moments
	mean          network.Params // running mean of params, what is validated and kept
	best          network.Params // mean at the best validation
}

// A header is what stands before the numbers in a checkpoint.
type header struct {
	Config  Config     `json:"config"`
	Card    unet.Card  `json:"card"`    // of the model, as far as it was known before
	Data    string     `json:"data"`    // SHA-256 of the data set
	Step    int        `json:"step"`    // steps that are done
	Seen    int        `json:"seen"`    // step at the last validation
	Best    *Validated `json:"best"`    // but for its time
	Stale   int        `json:"stale"`   // validations since the best
	Metrics int64      `json:"metrics"` // bytes of metrics.jsonl that were written
	Since   period     `json:"since"`
}

// newState returns the state before the first step.
func newState(c Config, data string) (*state, error) {
	params := c.Shape.Init(c.Seed)
	if c.Init != "" {
		var err error
		if params, err = c.initial(); err != nil {
			return nil, err
		}
	}
	return stateOf(c, data, params), nil
}

func stateOf(c Config, data string, params network.Params) *state {
	s := &state{header: header{Config: c, Data: data}, params: params}
	s.mean, s.best = c.Shape.Params(), c.Shape.Params()
	for i, p := range s.params {
		copy(s.mean[i].Value, p.Value)
		s.first = append(s.first, make([]float32, len(p.Value)))
		s.second = append(s.second, make([]float32, len(p.Value)))
	}
	return s
}

// numbers lists all tensors, in the order of the file.
func (s *state) numbers() [][]float32 {
	var all [][]float32
	for _, p := range []network.Params{s.params, s.mean, s.best} {
		for _, t := range p {
			all = append(all, t.Value)
		}
	}
	return append(append(all, s.first...), s.second...)
}

// A checkpoint is a line that says so, a line of JSON, the numbers as little-endian float32, and the SHA-256 of all that.
const magic = "microtome checkpoint 1\n"

// save writes the checkpoint whole or not at all.
func (s *state) save(path string) error {
	head, err := json.Marshal(s.header)
	if err != nil {
		return err
	}
	data := append(append([]byte(magic), head...), '\n')
	for _, t := range s.numbers() {
		data = slices.Grow(data, 4*len(t)+sha256.Size)
		for _, v := range t {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
	}
	sum := sha256.Sum256(data)
	return replaceFile(path, func(w io.Writer) error {
		_, err := w.Write(append(data, sum[:]...))
		return err
	})
}

var errCheckpoint = errors.New("not a whole checkpoint of microtome: start anew in another folder")

// load reads a checkpoint.
func load(path string) (*state, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(data) < sha256.Size || !bytes.HasPrefix(data, []byte(magic)) {
		return nil, fmt.Errorf("%s: %w", path, errCheckpoint)
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, fmt.Errorf("%s: %w", path, errCheckpoint)
	}
	head, numbers, ok := bytes.Cut(body[len(magic):], []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("%s: %w", path, errCheckpoint)
	}
	var h header
	if err := json.Unmarshal(head, &h); err != nil {
		return nil, fmt.Errorf("%s: %w", path, errCheckpoint)
	}
	if err := h.Config.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := stateOf(h.Config, h.Data, h.Config.Shape.Params())
	s.header = h
	for _, t := range s.numbers() {
		if len(numbers) < 4*len(t) {
			return nil, fmt.Errorf("%s: %w", path, errCheckpoint)
		}
		for i := range t {
			t[i] = math.Float32frombits(binary.LittleEndian.Uint32(numbers[4*i:]))
		}
		numbers = numbers[4*len(t):]
	}
	if len(numbers) > 0 {
		return nil, fmt.Errorf("%s: %w", path, errCheckpoint)
	}
	return s, nil
}

// replaceFile gives path the content that write makes, at once: a crash leaves the old or the new.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	defer func() { err = advise(err) }()
	f, err := os.CreateTemp(filepath.Dir(path), temporary(filepath.Base(path)))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// temporary is the pattern of what a file is called while it is written.
func temporary(name string) string { return "." + name + ".*" }

// advise says what to do about an error of the operating system, which names operation and path.
func advise(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: free some space, or write elsewhere with -o", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: choose another folder with -o", err)
	}
	return err
}
