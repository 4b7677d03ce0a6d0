// Package geojson reads what people and QuPath have drawn on slides.
package geojson

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"microtome/internal/raster"
)

// An Object is what an annotation tool has drawn.
type Object struct {
	Detected bool   // by QuPath, not drawn by hand
	Class    string // "": not classified
	Polygons []Polygon
}

// A Polygon is an outline and holes, in pixels of level 0 from the corner of the scanned area, each of
// three points or more and the first again.
type Polygon [][]raster.Point

// A feature is GeoJSON as QuPath writes it: 0.2 and later.
type feature struct {
	Type       string    `json:"type"`
	ID         any       `json:"id"`
	Geometry   *geometry `json:"geometry"`
	Nucleus    *geometry `json:"nucleusGeometry"`
	Properties struct {
		Kind           string `json:"objectType"`
		OldKind        string `json:"object_type"`
		Classification struct {
			Name  string   `json:"name"`
			Names []string `json:"names"`
		} `json:"classification"`
	} `json:"properties"`
}

type geometry struct {
	Type        string          `json:"type"`
	Coordinates json.RawMessage `json:"coordinates"`
}

// ReadFile is Read of a file, which may be compressed by gzip. Its errors do not name the file.
func ReadFile(path string, nuclei bool, found func(Object) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader = bufio.NewReader(f)
	if strings.HasSuffix(strings.ToLower(path), ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			return fmt.Errorf("%w: export it again", err)
		}
	}
	return Read(r, nuclei, found)
}

// Read hands each object of a document to found, one at a time: of a FeatureCollection, of a
// list of Features, or a single Feature. With nuclei, cells that have a nucleus are their nucleus.
func Read(r io.Reader, nuclei bool, found func(Object) error) error {
	p := parser{Decoder: json.NewDecoder(r), nuclei: nuclei, found: found}
	err := p.document()
	if err == nil {
		if _, err = p.Token(); err == nil {
			err = errors.New("there is more behind the end")
		} else if errors.Is(err, io.EOF) {
			return nil
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("after byte %d: %w: export it again from QuPath as GeoJSON", p.InputOffset(), err)
}

// A parser reads a document as a stream.
type parser struct {
	*json.Decoder
	nuclei bool
	found  func(Object) error
	count  int // features so far
}

func (p *parser) document() error {
	token, err := p.Token()
	switch {
	case err != nil:
		return err
	case token == json.Delim('['):
		return p.features()
	case token != json.Delim('{'):
		return errors.New("not GeoJSON")
	}
	single := map[string]json.RawMessage{}
	list := false
	for p.More() {
		key, err := p.Token()
		if err != nil {
			return err
		}
		if key != "features" {
			var value json.RawMessage
			if err := p.Decode(&value); err != nil {
				return err
			}
			single[fmt.Sprint(key)] = value
			continue
		}
		if token, err := p.Token(); err != nil {
			return err
		} else if token != json.Delim('[') {
			return errors.New("features are not a list")
		}
		if err := p.features(); err != nil {
			return err
		}
		list = true
	}
	if _, err := p.Token(); err != nil || list {
		return err
	}
	text, err := json.Marshal(single)
	if err != nil {
		return err
	}
	return p.feature(json.NewDecoder(strings.NewReader(string(text))))
}

// features reads the rest of a list of features.
func (p *parser) features() error {
	for p.More() {
		if err := p.feature(p.Decoder); err != nil {
			return err
		}
	}
	_, err := p.Token()
	return err
}

func (p *parser) feature(d *json.Decoder) error {
	p.count++
	var f feature
	err := d.Decode(&f)
	if err == nil {
		var o Object
		var keep bool
		if o, keep, err = f.object(p.nuclei); err == nil && keep {
			err = p.found(o)
		}
	}
	if err != nil {
		return fmt.Errorf("feature %d: %w", p.count, err)
	}
	return nil
}

// object returns what a feature shows; keep is false for QuPath's tiles and cores of arrays, which show
// nothing.
func (f feature) object(nuclei bool) (o Object, keep bool, err error) {
	if f.Type != "Feature" {
		return o, false, fmt.Errorf("type %q is not Feature", f.Type)
	}
	kind := f.Properties.Kind
	if kind == "" {
		kind = f.Properties.OldKind
	}
	if id, ok := f.ID.(string); kind == "" && ok { // QuPath 0.2
		kind = strings.TrimSuffix(strings.TrimPrefix(id, "Path"), "Object")
	}
	switch strings.ToLower(kind) {
	case "tile", "tma_core", "tmacore", "root":
		return o, false, nil
	case "detection", "cell":
		o.Detected = true
	}
	o.Class = f.Properties.Classification.Name
	if o.Class == "" {
		o.Class = strings.Join(f.Properties.Classification.Names, ": ")
	}
	shape := f.Geometry
	if nuclei && f.Nucleus != nil {
		shape = f.Nucleus
	}
	if shape == nil {
		return o, false, errors.New("no geometry: remove the object")
	}
	o.Polygons, err = shape.polygons()
	return o, true, err
}

// position is a point of GeoJSON: x, y and what else there may be.
type position []float64

func (g geometry) polygons() ([]Polygon, error) {
	var all [][][]position
	switch g.Type {
	case "Polygon":
		all = make([][][]position, 1)
		if err := json.Unmarshal(g.Coordinates, &all[0]); err != nil {
			return nil, err
		}
	case "MultiPolygon":
		if err := json.Unmarshal(g.Coordinates, &all); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("geometry %q is neither Polygon nor MultiPolygon: remove the object, or draw its outline", g.Type)
	}
	if len(all) == 0 {
		return nil, errors.New("a polygon without points: remove the object")
	}
	var found []Polygon
	for _, rings := range all {
		if len(rings) == 0 {
			return nil, errors.New("a polygon without points: remove the object")
		}
		var p Polygon
		for _, ring := range rings {
			points, err := outline(ring)
			if err != nil {
				return nil, err
			}
			p = append(p, points)
		}
		found = append(found, p)
	}
	return found, nil
}

// outline checks a ring.
func outline(ring []position) ([]raster.Point, error) {
	points := make([]raster.Point, len(ring))
	for i, at := range ring {
		if len(at) < 2 {
			return nil, fmt.Errorf("a point of %d numbers: give x and y", len(at))
		}
		points[i] = raster.Point{X: at[0], Y: at[1]}
		if math.Abs(at[0]) > math.MaxInt32 || math.Abs(at[1]) > math.MaxInt32 {
			return nil, fmt.Errorf("point %g, %g is not on any slide: give pixels of level 0", at[0], at[1])
		}
	}
	closed := len(points) > 1 && points[0] == points[len(points)-1]
	switch {
	case closed && len(points) < 4, len(points) < 3:
		return nil, errors.New("a polygon of fewer than 3 points: remove the object")
	case !closed:
		return nil, errors.New("a polygon that is not closed: repeat its first point as its last")
	}
	return points, nil
}
