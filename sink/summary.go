package sink

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// Notice stands in every summary.
const Notice = "not for diagnostic use"

// A Summary is what summary.json says of a slide: what ran on what, and what came out. Times, what stages did and read,
// memory and what was resumed differ from run to run; the rest does not.
type Summary struct {
	Status    string    `json:"status"` // "done"
	Notice    string    `json:"notice"`
	Version   string    `json:"version"`
	Arguments []string  `json:"arguments"`
	Started   time.Time `json:"started"`
	Seconds   float64   `json:"seconds"`

	Slide    SlideSummary      `json:"slide"`
	Model    ModelSummary      `json:"model"`
	Mask     MaskSummary       `json:"mask"`
	Classes  []ClassSummary    `json:"classes"`
	Coverage CoverageSummary   `json:"coverage"`
	Tissue   TissueSummary     `json:"tissue"`
	Resumed  int               `json:"resumed"` // tiles taken from the journal of an interrupted run
	Phases   []PhaseTime       `json:"phases"`  // one after another
	Stages   []StageTime       `json:"stages"`  // of the phase "tiles", side by side
	Reading  ReadingSummary    `json:"reading"`
	Workers  int               `json:"workers"` // tiles read and inferred at a time
	Memory   MemorySummary     `json:"memory"`
	Warnings []string          `json:"warnings"`
	Outputs  map[string]Output `json:"outputs"` // by file name
}

// SlideSummary says which slide it was.
type SlideSummary struct {
	Path        string  `json:"path"`
	Fingerprint string  `json:"fingerprint"` // see Fingerprint
	Vendor      string  `json:"vendor"`
	Width       int     `json:"width"` // of level 0, px
	Height      int     `json:"height"`
	MPP         float64 `json:"mpp"`    // µm a pixel that the slide states; 0: none
	Bounds      [4]int  `json:"bounds"` // scanned area: x, y, width, height in pixels of level 0
}

// ModelSummary says which model it was, and on what it ran.
type ModelSummary struct {
	Name    string   `json:"name"`
	SHA256  string   `json:"sha256"`         // of the file
	Form    string   `json:"form,omitempty"` // SHA-256 of the file and of how card and flags have it read; "": not recorded
	Engine  string   `json:"engine"`
	Stride  int      `json:"stride"`
	Before  int      `json:"before"`
	After   int      `json:"after"`
	Classes []string `json:"classes"`
	MPP     float64  `json:"mpp"`
	// Normalisation is what the slide's pixels became for a model that normalises by the image.
	Normalisation *Normalisation `json:"normalisation,omitempty"`
	PassedOver    []string       `json:"passed_over,omitempty"` // devices that auto tried before, and why not
}

// A Normalisation is value · Gain + Offset, of each channel.
type Normalisation struct {
	Gain   []float64 `json:"gain"`
	Offset []float64 `json:"offset"`
}

// MaskSummary says how the mask lies on the slide.
type MaskSummary struct {
	Width  int     `json:"width"` // px
	Height int     `json:"height"`
	MPP    float64 `json:"mpp"`    // µm a pixel; 0: unknown
	Level  int     `json:"level"`  // of the slide that pixels came from
	Scale  float64 `json:"scale"`  // pixels of that level a mask pixel; 1: as they are
	Origin [2]int  `json:"origin"` // of the mask in the slide at the mask's resolution, px
	Core   int     `json:"core"`   // of the tiles, px
	Tiles  int     `json:"tiles"`

	Inferred int `json:"tiles_inferred"` // that the network labelled, in whichever run; the rest is glass or unread

	Overlap int `json:"overlap"` // px that neighbouring tiles share and are blended over; 0: they fit without
}

// ClassSummary is the area of a class.
type ClassSummary struct {
	Label  int      `json:"label"`
	Name   string   `json:"name"`
	Pixels int64    `json:"pixels"`
	MM2    *float64 `json:"mm2"` // null: the resolution is unknown
}

// CoverageSummary is the audit that every pixel was labelled, in pixels of the mask: Written is Expected,
// and so is Inferred + Skipped + Unread. Summaries of earlier versions have the first two alone.
type CoverageSummary struct {
	Expected int64 `json:"expected"`
	Written  int64 `json:"written"`
	Tissue   int64 `json:"tissue"`   // in tissue; all, where it was not looked for
	Inferred int64 `json:"inferred"` // labelled by the network
	Skipped  int64 `json:"skipped"`  // background without looking, as no tissue is near
	Unread   int64 `json:"unread"`   // could not be read: label 255
}

// TissueSummary says where the network looked.
type TissueSummary struct {
	Source   string  `json:"source"`           // "auto", "off" or a file; "": by an earlier version, which looked everywhere
	SHA256   string  `json:"sha256,omitempty"` // of the file
	Recall   string  `json:"recall,omitempty"` // of "auto": "first", "strict" or "safe"
	MarginUM float64 `json:"margin_um"`        // around tissue that counts as tissue
	Field    string  `json:"field"`            // "bright" or "dark": what glass looks like; "auto": nobody has looked
	Found    float64 `json:"found"`            // share of the slide that is tissue, 0 to 1
	Focus    Measure `json:"focus"`
	Stain    Measure `json:"stain"`
	Pen      Measure `json:"pen"`
}

// A Measure is how good a slide is in some way, and what is to be said about that.
type Measure struct {
	Value   float64 `json:"value"`
	Warning string  `json:"warning,omitempty"`
}

// StageTime is what the workers of a stage did, added up, in seconds; together that is Workers times the time that tiles were on their way.
type StageTime struct {
	Stage    string  `json:"stage"`
	Seconds  float64 `json:"seconds"` // busy
	Workers  int     `json:"workers"`
	Starved  float64 `json:"starved"`   // nothing to do
	Blocked  float64 `json:"blocked"`   // nobody took what was done
	Waiting  float64 `json:"waiting"`   // for memory, or for another slide's tiles
	Depth    float64 `json:"depth"`     // mean number of tiles that waited before the stage
	MaxDepth int     `json:"max_depth"` // the most there were
}

// A PhaseTime is a part of the time that a slide took.
type PhaseTime struct {
	Phase   string  `json:"phase"`
	Seconds float64 `json:"seconds"`
}

// A ReadingSummary says what this run decoded, in bytes of pixels, and of how much use that was.
type ReadingSummary struct {
	Decoded int64 `json:"decoded"`
	Needed  int64 `json:"needed"` // of the pixels that were labelled, at the level that they come from
	// Seen are the pixels that the network was shown, halos included, Labelled those that it labelled.
	Seen     int64 `json:"seen_px"`
	Labelled int64 `json:"labelled_px"`
}

// MemorySummary is the memory allowed, planned, and the most the process had, in bytes.
type MemorySummary struct {
	Limit   int64 `json:"limit"`
	Planned int64 `json:"planned"`
	Peak    int64 `json:"peak"`
	Tiles   int64 `json:"tiles"`      // that tiles in flight may have
	High    int64 `json:"tiles_high"` // the most that they had
}

// Output is a file beside the summary.
type Output struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// WriteSummary writes s as JSON. Write it last.
func WriteSummary(fsys FileSystem, path string, s *Summary) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(fsys, path, append(data, '\n'))
}

// ReadSummary reads what WriteSummary wrote.
func ReadSummary(path string) (*Summary, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, advise(err)
	}
	s := new(Summary)
	if err := json.Unmarshal(data, s); err != nil || s.Slide.Fingerprint == "" {
		return nil, fmt.Errorf("%s is not a summary of microtome", path)
	}
	return s, nil
}

// Describe returns the size and checksum of a file.
func Describe(path string) (Output, error) {
	f, err := os.Open(path)
	if err != nil {
		return Output{}, err
	}
	defer func() { _ = f.Close() }() // only read
	h := sha256.New()
	n, err := io.Copy(h, f)
	return Output{n, hex.EncodeToString(h.Sum(nil))}, err
}

// Fingerprint identifies a slide without reading gigabytes: the SHA-256 of its length, first MiB and
// last MiB.
func Fingerprint(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	const end = 1 << 20
	h := sha256.New()
	h.Write(fmt.Appendln(nil, info.Size()))
	for _, from := range []int64{0, max(0, info.Size()-end)} {
		if _, err := io.Copy(h, io.NewSectionReader(f, from, end)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
