package slide

/*
#cgo pkg-config: vips
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>

// The opener beside govips: govips reads whole files into memory, this opens one level lazily.
// kind is 0 for any loader, 1 for OpenSlide (n is the level), 2 for a TIFF page, 3 for a TIFF SubIFD.
static VipsImage *mt_open(const char *path, int kind, int n) {
	VipsImage *im = NULL;
	int failed;
	switch (kind) {
	case 1:
		failed = vips_openslideload(path, &im, "level", n, "fail_on", VIPS_FAIL_ON_ERROR, NULL);
		break;
	case 2:
		failed = vips_tiffload(path, &im, "page", n, "fail_on", VIPS_FAIL_ON_ERROR, NULL);
		break;
	case 3:
		failed = vips_tiffload(path, &im, "subifd", n, "fail_on", VIPS_FAIL_ON_ERROR, NULL);
		break;
	default:
		im = vips_image_new_from_file(path, "fail_on", VIPS_FAIL_ON_ERROR, NULL);
		failed = im == NULL;
	}
	return failed ? NULL : im;
}

// mt_rgb returns im as three bands of 8 bits, lazily: 16 bits keep their high byte, grey is repeated,
// transparency is laid on white. It takes over the reference to im.
static VipsImage *mt_rgb(VipsImage *im, int openslide) {
	VipsImage *next;
	#define STEP(call) do { int failed = (call); g_object_unref(im); if (failed) return NULL; im = next; } while (0)
	if (openslide) { // RGBA with the background filled in
		STEP(vips_extract_band(im, &next, 0, "n", 3, NULL));
		return im;
	}
	if (vips_image_get_interpretation(im) == VIPS_INTERPRETATION_MULTIBAND) {
		STEP(vips_extract_band(im, &next, 0, "n", im->Bands >= 3 ? 3 : 1, NULL));
	} else {
		if (vips_image_get_interpretation(im) != VIPS_INTERPRETATION_sRGB)
			STEP(vips_colourspace(im, &next, VIPS_INTERPRETATION_sRGB, NULL));
		if (vips_image_hasalpha(im)) {
			double white[] = {255, 255, 255};
			VipsArrayDouble *background = vips_array_double_new(white, 3);
			int failed = vips_flatten(im, &next, "background", background, NULL);
			vips_area_unref(VIPS_AREA(background));
			STEP(failed);
		}
	}
	if (im->BandFmt == VIPS_FORMAT_USHORT)
		STEP(vips_msb(im, &next, NULL));
	else if (im->BandFmt != VIPS_FORMAT_UCHAR)
		STEP(vips_cast_uchar(im, &next, NULL));
	if (im->Bands == 1) {
		VipsImage *three[] = {im, im, im};
		STEP(vips_bandjoin(three, &next, 3, NULL));
	} else if (im->Bands > 3) {
		STEP(vips_extract_band(im, &next, 0, "n", 3, NULL));
	}
	return im;
}

// mt_read copies a rectangle. A region belongs to the thread that made it, and a goroutine may move
// between threads, so it lives and dies within this call.
static int mt_read(VipsImage *im, int x, int y, int w, int h, unsigned char *dst) {
	VipsRegion *region = vips_region_new(im);
	VipsRect r = {x, y, w, h};
	int failed = vips_region_prepare(region, &r);
	if (!failed)
		for (int row = 0; row < h; row++)
			memcpy(dst + (size_t) 3 * w * row, VIPS_REGION_ADDR(region, x, y + row), (size_t) 3 * w);
	g_object_unref(region);
	// libvips keeps two to three rows of the file's tiles for readers that come back for them. Ours does
	// not, and they would make memory grow with the slide's width.
	vips_image_minimise_all(im);
	return failed;
}

static int mt_int(VipsImage *im, const char *name, int fallback) {
	int v;
	if (!vips_image_get_typeof(im, name) || vips_image_get_int(im, name, &v)) {
		vips_error_clear();
		return fallback;
	}
	return v;
}

static const char *mt_string(VipsImage *im, const char *name) {
	const char *v;
	if (!vips_image_get_typeof(im, name) || vips_image_get_string(im, name, &v)) {
		vips_error_clear();
		return "";
	}
	return v;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"unsafe"

	"github.com/davidbyttow/govips/v2/vips"
)

// start starts libvips, once. Our goroutines are the parallelism and our cache is the cache, so libvips
// gets one thread and none of its own.
var start = sync.OnceFunc(func() {
	vips.LoggingSettings(func(string, vips.LogLevel, string) {}, vips.LogLevelError) // errors come as values
	vips.Startup(&vips.Config{ConcurrencyLevel: 1})
})

// Libraries returns the versions of the libraries that slides are read with, "" for a missing one.
func Libraries() map[string]string {
	start()
	libs := map[string]string{"libvips": C.GoString(C.vips_version_string()), "openslide": "", "govips": ""}
	if hasOpenSlide() {
		libs["openslide"] = "in libvips"
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/davidbyttow/govips/v2" {
				libs["govips"] = m.Version
			}
		}
	}
	return libs
}

func hasOpenSlide() bool {
	base, name := C.CString("VipsOperation"), C.CString("openslideload")
	defer C.free(unsafe.Pointer(base))
	defer C.free(unsafe.Pointer(name))
	return C.vips_type_find(base, name) != 0
}

// findLoader returns the name of libvips' loader for a file, "" when no loader knows it.
func findLoader(path string) string {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	name := C.GoString(C.vips_foreign_find_load(p))
	C.vips_error_clear()
	return name
}

// The ways to open a file, as mt_open takes them.
const (
	anyLoader = iota
	openSlide
	tiffPage
	tiffSubIFD
)

// An opening is what it takes to open one level of a file.
type opening struct {
	path string
	kind int
	n    int // level, page or SubIFD
}

// A vipsImage is a lazily decoded image. It may be read by several goroutines.
type vipsImage struct{ im *C.VipsImage }

// open opens a level without converting it, for its metadata.
func (o opening) open() (vipsImage, error) {
	p := C.CString(o.path)
	defer C.free(unsafe.Pointer(p))
	im := C.mt_open(p, C.int(o.kind), C.int(o.n))
	if im == nil {
		return vipsImage{}, vipsError()
	}
	return vipsImage{im}, nil
}

// openRGB opens a level as 8-bit RGB.
func (o opening) openRGB() (vipsImage, error) {
	v, err := o.open()
	if err != nil {
		return v, err
	}
	kind := C.int(0)
	if o.kind == openSlide {
		kind = 1
	}
	if v.im = C.mt_rgb(v.im, kind); v.im == nil {
		return v, fmt.Errorf("cannot be shown as RGB: %w", vipsError())
	}
	return v, nil
}

func (v vipsImage) width() int  { return int(v.im.Xsize) }
func (v vipsImage) height() int { return int(v.im.Ysize) }
func (v vipsImage) ref()        { C.g_object_ref(C.gpointer(v.im)) }
func (v vipsImage) unref()      { C.g_object_unref(C.gpointer(v.im)) }

// xres returns the pixels a millimetre, 1 when nothing is stated.
func (v vipsImage) xres() float64 { return float64(v.im.Xres) }

// read copies a rectangle of an RGB image into dst.
func (v vipsImage) read(x, y, w, h int, dst []byte) error {
	if len(dst) < 3*w*h {
		return errors.New("buffer too small")
	}
	if C.mt_read(v.im, C.int(x), C.int(y), C.int(w), C.int(h), (*C.uchar)(&dst[0])) != 0 {
		return vipsError()
	}
	return nil
}

func (v vipsImage) text(field string) string {
	name := C.CString(field)
	defer C.free(unsafe.Pointer(name))
	return C.GoString(C.mt_string(v.im, name))
}

func (v vipsImage) number(field string, fallback int) int {
	name := C.CString(field)
	defer C.free(unsafe.Pointer(name))
	return int(C.mt_int(v.im, name, C.int(fallback)))
}

// vipsError takes what libvips has to say. Its error buffer belongs to the whole process: lines of
// several threads may be in it, and the first is the cause.
func vipsError() error {
	text := C.vips_error_buffer_copy()
	defer C.g_free(C.gpointer(unsafe.Pointer(text)))
	line, _, _ := strings.Cut(strings.TrimSpace(C.GoString(text)), "\n")
	if line == "" {
		line = "libvips gave no reason"
	}
	return errors.New(line)
}
