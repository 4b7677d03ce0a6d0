package slide

import (
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Open opens a slide: anything that libvips opens. It ends within cfg.Timeout, with [ErrTimeout].
func Open(path string, cfg Config) (*Slide, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r, err := openWithin(cfg.Timeout, func() (BlockReader, error) {
		r, err := openFile(path)
		if err != nil {
			return nil, err // and no pointer to nothing
		}
		return r, nil
	})
	if err != nil {
		return nil, &Error{Op: "open", Path: path, Err: err}
	}
	return New(r, cfg), nil
}

// openFile finds out what a file is, and refuses those that libvips would read wrong.
func openFile(path string) (*fileReader, error) {
	if err := readable(path); err != nil {
		return nil, err
	}
	start()
	loader := findLoader(path)
	for _, kind := range []string{"Matrix", "Csv", "Svg", "Magick", "Pdf"} {
		if strings.Contains(loader, kind) {
			loader = "" // text that begins with two numbers, and what start blocks
		}
	}
	only := slices.Contains(openSlideOnly, strings.ToLower(filepath.Ext(path)))
	switch {
	case strings.Contains(loader, "Openslide"):
		return openOpenSlide(path, loader)
	case only && !hasOpenSlide():
		return nil, errors.New("this libvips was built without OpenSlide: install libvips with OpenSlide, see microtome doctor")
	case only && loader != "" && !strings.Contains(loader, "Tiff"): // of a slide that is damaged, TIFF remains
		kind := strings.TrimSuffix(strings.TrimPrefix(loader, "VipsForeignLoad"), "File")
		return nil, fmt.Errorf("this is no slide of a scanner but a picture (%s): give the file the ending of what it is, or copy the slide again", strings.ToUpper(kind))
	case only:
		return nil, errors.New("damaged, truncated or not a slide: OpenSlide does not recognise it; copy it again from the scanner")
	case loader == "":
		return nil, errors.New("damaged, or not an image that libvips or OpenSlide can read: copy it again, or convert it to TIFF")
	case strings.Contains(loader, "Tiff"):
		return openTIFF(path, loader)
	}
	return openFlat(path, loader)
}

// readable tells the plain reasons why a file cannot be read better than a decoder would.
func readable(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return errors.New("not a regular file") // a pipe would be waited for
	}
	f, err := os.Open(path)
	var cause *fs.PathError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return errors.New("permission denied: make the file readable for this user")
	case errors.Is(err, fs.ErrNotExist):
		return errNowhere
	case errors.As(err, &cause):
		return cause.Err // the path is in our own error
	case err != nil:
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("is a folder, not a slide")
	case info.Size() == 0:
		return errors.New("the file is empty: copy it again")
	}
	return nil
}

// openSlideCache is what OpenSlide 3 keeps of decoded tiles for each open level, bytes.
const openSlideCache = 32 << 20

func openOpenSlide(path, loader string) (*fileReader, error) {
	first, err := opening{path: path, kind: openSlide}.open()
	if err != nil {
		return nil, err
	}
	defer first.unref()
	number := func(field string) float64 {
		v, err := strconv.ParseFloat(first.text("openslide."+field), 64)
		if err != nil || math.IsInf(v, 0) || math.IsNaN(v) || v < 0 {
			return 0
		}
		return v
	}
	r := newFileReader(Info{
		Path: path, Loader: loader,
		Vendor:      first.text("openslide.vendor"),
		Description: first.text("openslide.comment"),
		MPPX:        number("mpp-x"), MPPY: number("mpp-y"),
		Objective: number("objective-power"),
	})
	kept := int64(0)
	for n := range int(number("level-count")) {
		at := fmt.Sprintf("level[%d].", n)
		tile := image.Pt(int(number(at+"tile-width")), int(number(at+"tile-height")))
		size := image.Pt(int(number(at+"width")), int(number(at+"height")))
		r.add(size, number(at+"downsample"), tile, opening{path: path, kind: openSlide, n: n})
		kept += min(openSlideCache, 4*int64(size.X)*int64(size.Y))
	}
	r.info.Resident += min(kept, 2*openSlideCache) // of the working level and of the thumbnail's
	if w, h := int(number("bounds-width")), int(number("bounds-height")); w > 0 && h > 0 {
		x, y := int(number("bounds-x")), int(number("bounds-y"))
		r.info.Bounds = image.Rect(x, y, x+w, y+h)
	}
	return r.done()
}

// openTIFF opens a TIFF that is not one of OpenSlide's formats. Its levels are the first page and, as
// SubIFDs as in OME-TIFF or else as pages, the same picture ever smaller. Labels and macro pictures have
// other proportions, or are in strips where the slide is in tiles.
func openTIFF(path, loader string) (*fileReader, error) {
	pages, err := readTIFF(path)
	if err != nil {
		return nil, err
	}
	first := pages[0]
	for _, vendor := range []string{"Aperio", "Hamamatsu", "iScan", "ScanScope"} {
		if strings.HasPrefix(first.description, vendor) {
			return nil, errors.New("damaged or truncated: it says it comes from an " + vendor + " scanner, but OpenSlide does not recognise it; copy it again")
		}
	}
	im, err := opening{path: path, kind: tiffPage}.open()
	if err != nil {
		return nil, err
	}
	defer im.unref()
	if err := im.checkFormat(); err != nil {
		return nil, err
	}
	info := Info{Path: path, Loader: loader, Description: first.description}
	if im.text("resolution-unit") != "" {
		info.MPPX = plausible(1000 / im.xres())
	}
	if isOME(first.description) {
		info.Vendor = "ome-tiff"
		x, y, objective := readOME(first.description)
		info.Objective = objective
		if x > 0 {
			info.MPPX, info.MPPY = x, y
		}
	}
	r := newFileReader(info)
	add := func(page tiffHeader, downsample float64, o opening) {
		r.add(page.size, downsample, page.tile, o)
		r.levels[len(r.levels)-1].ycc = page.mislabelled
	}
	add(first, 1, opening{path: path, kind: tiffPage})
	smaller, kind, offset := first.sub, tiffSubIFD, 0
	if len(smaller) == 0 {
		smaller, kind, offset = pages[1:], tiffPage, 1
	}
	for n, page := range smaller {
		downsample, ok := shrinks(first.size, page.size)
		step, _ := shrinks(r.info.Levels[len(r.info.Levels)-1].Size, page.size)
		if tiled := page.tile != (image.Point{}); ok && step > 1.5 && tiled == (first.tile != image.Point{}) {
			add(page, downsample, opening{path: path, kind: kind, n: n + offset})
		}
	}
	if first.tile == (image.Point{}) { // in strips: libvips decodes all of it first
		r.info.Resident = decodedWhole(im)
	}
	return r.done()
}

// shrinks returns how many times smaller b is than a, if it is the same picture by its proportions.
func shrinks(a, b image.Point) (float64, bool) {
	if b.X <= 0 || b.Y <= 0 {
		return 0, false
	}
	dx, dy := float64(a.X)/float64(b.X), float64(a.Y)/float64(b.Y)
	slack := 1/float64(min(b.X, b.Y)) + 0.01 // a pixel of rounding
	return (dx + dy) / 2, dx >= 1 && dy >= 1 && math.Abs(dx/dy-1) <= slack
}

func openFlat(path, loader string) (*fileReader, error) {
	im, err := opening{path: path, kind: anyLoader}.open()
	if err != nil {
		return nil, err
	}
	defer im.unref()
	if err := im.checkFormat(); err != nil {
		return nil, err
	}
	r := newFileReader(Info{Path: path, Loader: loader, Resident: decodedWhole(im)})
	r.add(image.Pt(im.width(), im.height()), 1, image.Point{}, opening{path: path, kind: anyLoader})
	return r.done()
}

// decodedWhole returns the memory of an image that libvips decodes before the first pixel: past
// 100 MB it uses a file in the folder for temporary files.
func decodedWhole(im vipsImage) int64 { return min(im.bytes(), 100<<20) }

// plausible returns mpp if it may be a microscope's. Those of screens and printers, from 72 dpi (353 µm)
// to 1200 dpi (21 µm), are not.
func plausible(mpp float64) float64 {
	if mpp >= 0.01 && mpp <= 20 {
		return mpp
	}
	return 0
}

// isOME reports whether a TIFF's description is OME-XML.
func isOME(description string) bool { return strings.Contains(description, "<OME") }

// readOME returns what OME-XML says: µm a pixel and the objective's power, 0 for what it does not say.
// Of a document that is cut short it takes what is there.
func readOME(description string) (mppX, mppY, objective float64) {
	attribute := func(e xml.StartElement, name string) string {
		for _, a := range e.Attr {
			if a.Name.Local == name {
				return a.Value
			}
		}
		return ""
	}
	number := func(e xml.StartElement, name string) float64 {
		v, err := strconv.ParseFloat(attribute(e, name), 64)
		if err != nil || !(v > 0) || math.IsInf(v, 0) {
			return 0
		}
		return v
	}
	micron := map[string]float64{"": 1, "µm": 1, "um": 1, "mm": 1e3, "nm": 1e-3, "cm": 1e4}
	for d := xml.NewDecoder(strings.NewReader(description)); ; {
		token, err := d.Token()
		if err != nil {
			return mppX, mppY, objective
		}
		e, ok := token.(xml.StartElement)
		switch {
		case ok && e.Name.Local == "Objective" && objective == 0:
			objective = number(e, "NominalMagnification")
		case ok && e.Name.Local == "Pixels" && mppX == 0:
			mppX = plausible(number(e, "PhysicalSizeX") * micron[attribute(e, "PhysicalSizeXUnit")])
			mppY = plausible(number(e, "PhysicalSizeY") * micron[attribute(e, "PhysicalSizeYUnit")])
		}
	}
}
