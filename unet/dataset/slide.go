package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"slices"
	"strings"

	"microtome/internal/geojson"
	"microtome/internal/raster"
)

// Open opens a whole slide at mpp µm a pixel, or level 0 as it is where mpp is 0. own, when it is not 0,
// is the size of a pixel of level 0 in µm, over what the slide says.
type Open func(ctx context.Context, path string, mpp, own float64) (*Slide, error)

// A Slide is a whole slide at a working resolution.
type Slide struct {
	Size   image.Point // in pixels of the working resolution
	Scale  float64     // pixels of level 0 that make one of those, along an axis
	Origin image.Point // pixel of level 0 that annotations count from: the corner of the scanned area
	MPP    float64     // µm a pixel of the working resolution; 0: not known
	Pixels Pixels
}

// Pixels reads a slide at its working resolution.
type Pixels interface {
	// Read fills dst with the RGB bytes of a rectangle, row by row.
	Read(ctx context.Context, dst []byte, r image.Rectangle) error
	Close() error
}

// slide adds the annotated regions of a slide.
func (l *loader) slide(ctx context.Context, p pair) (err error) {
	drawn, err := l.annotations(p.truth)
	switch {
	case err != nil:
		return err
	case len(drawn) == 0:
		return l.errorf(p.truth, "no annotations: draw some in QuPath, or remove the file")
	case l.Open == nil:
		return l.errorf(p.image, "slides with annotations cannot be opened here: give images with instances")
	}
	own := 0.0
	if p.entry.MPP != nil {
		own = *p.entry.MPP
	}
	s, err := l.Open(ctx, l.path(p.image), l.MPP, own)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Pixels.Close()) }()
	if !validMPP(s.Scale) || s.Size.X < 1 || s.Size.Y < 1 || s.MPP != 0 && !validMPP(s.MPP) {
		return l.errorf(p.image, "%v pixels of %g µm, %g of level 0 each: give mpp in index.json", s.Size, s.MPP, s.Scale)
	}
	for _, o := range drawn {
		o.Place(s.Origin, s.Scale)
	}
	regions, objects := l.sort(drawn)
	if len(regions) == 0 {
		return l.errorf(p.truth, "neither regions nor objects among %d annotations: classify some, or remove the file", len(drawn))
	}
	for n, region := range regions {
		name := fmt.Sprintf("%s[%d]", p.name, n+1)
		if err := l.region(ctx, p, s, name, region, objects); err != nil {
			return l.errorf(p.truth, "region %d: %w", n+1, err)
		}
	}
	return nil
}

// annotations reads a GeoJSON file, which may be compressed by gzip.
func (l *loader) annotations(name string) (drawn []geojson.Object, err error) {
	err = geojson.ReadFile(l.path(name), l.Nuclei, func(o geojson.Object) error {
		drawn = append(drawn, o)
		return nil
	})
	var system *fs.PathError
	if err != nil && !errors.As(err, &system) {
		err = l.errorf(name, "%w", err)
	}
	return drawn, err
}

// sort tells the regions from the objects in them, and puts the objects into the order in which they are
// painted: smaller ones over larger ones. Objects of other classes with a star, as QuPath's Ignore*, are
// nothing to learn. Neither are annotations without a.Class where there are detections: QuPath looks for
// detections within such ones. Where no region is drawn, it is the box around all objects, with a margin.
func (l *loader) sort(drawn []geojson.Object) (regions, objects []geojson.Object) {
	detections := slices.ContainsFunc(drawn, func(o geojson.Object) bool { return o.Detected })
	var all image.Rectangle
	for _, o := range drawn {
		switch {
		case o.Class == l.Region:
			regions = append(regions, o)
		case strings.HasSuffix(o.Class, "*"), o.Class == "" && !o.Detected && detections:
		default:
			objects = append(objects, o)
			all = all.Union(o.Bounds())
		}
	}
	if len(regions) == 0 && len(objects) > 0 {
		all = all.Inset(-l.Margin)
		x0, y0, x1, y1 := float64(all.Min.X), float64(all.Min.Y), float64(all.Max.X), float64(all.Max.Y)
		regions = []geojson.Object{{Polygons: []geojson.Polygon{{{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}, {X: x0, Y: y0}}}}}}
	}
	slices.SortStableFunc(objects, func(a, b geojson.Object) int { return cmp.Compare(b.Area(), a.Area()) })
	return regions, objects
}

// region adds one annotated region.
func (l *loader) region(ctx context.Context, p pair, s *Slide, name string, region geojson.Object, objects []geojson.Object) error {
	r := region.Bounds().Intersect(image.Rectangle{Max: s.Size})
	switch {
	case r.Empty():
		return fmt.Errorf("covers no pixel of the slide, which has %d×%d at this resolution: check that the annotations belong to it, or draw the region larger", s.Size.X, s.Size.Y)
	case int64(r.Dx())*int64(r.Dy()) > l.MaxPixels:
		return fmt.Errorf("%d×%d pixels, more than %d: annotate smaller regions", r.Dx(), r.Dy(), l.MaxPixels)
	}
	m := Image{Name: name, RGB: raster.NewRGB(r.Dx(), r.Dy()), MPP: s.MPP, Region: true}
	outside := slices.Repeat([]bool{true}, m.W*m.H)
	known := 0
	region.Fill(r, func(y, x0, x1 int) {
		for x := x0; x < x1; x++ {
			if outside[y*m.W+x] {
				outside[y*m.W+x] = false
				known++
			}
		}
	})
	switch known {
	case 0:
		return errors.New("covers no pixel: draw it larger, or remove it")
	case m.W * m.H:
	default:
		m.Outside = outside
	}
	if err := s.Pixels.Read(ctx, m.Pix, r); err != nil {
		return err
	}
	found := raster.NewLabels(m.W, m.H)
	classes := make([]string, len(objects)+1)
	for n, o := range objects {
		classes[n+1] = o.Class
		if !o.Bounds().Overlaps(r) {
			continue
		}
		o.Fill(r, func(y, x0, x1 int) {
			for x := x0; x < x1; x++ {
				if !outside[y*m.W+x] {
					found.Pix[y*m.W+x] = uint32(n + 1)
				}
			}
		})
	}
	l.add(p, m, found, classes)
	return nil
}
