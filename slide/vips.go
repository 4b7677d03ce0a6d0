package slide

/*
#cgo pkg-config: vips
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <vips/vips.h>

// mt_heaps sets up glibc's heaps for blocks of some hundred kB that come and go. By default there are
// eight heaps a processor, and each gives a block's memory back to the kernel and takes it again: half of
// the page faults of a run.
static void mt_heaps(int n) {
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, n);
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 32 << 20);
#endif
}

// The opener beside govips: govips reads whole files into memory, this opens one level lazily.
// kind is 0 for any loader, 1 for OpenSlide (n is the level), 2 for a TIFF page, 3 for a TIFF SubIFD.
// What libjpeg only warns of is a picture with holes, so warnings fail; but PNG's warnings are about
// colour profiles and the like.
static VipsImage *mt_open(const char *path, int kind, int n) {
	VipsImage *im = NULL;
	const char *loader = kind == 0 ? vips_foreign_find_load(path) : "";
	VipsFailOn fail_on = loader && strstr(loader, "Png") ? VIPS_FAIL_ON_ERROR : VIPS_FAIL_ON_WARNING;
	int failed;
	switch (kind) {
	case 1:
		failed = vips_openslideload(path, &im, "level", n, "fail_on", fail_on, NULL);
		break;
	case 2:
		failed = vips_tiffload(path, &im, "page", n, "fail_on", fail_on, NULL);
		break;
	case 3:
		failed = vips_tiffload(path, &im, "subifd", n, "fail_on", fail_on, NULL);
		break;
	default:
		im = vips_image_new_from_file(path, "fail_on", fail_on, NULL);
		failed = im == NULL;
	}
	return failed ? NULL : im;
}

// mt_rgb returns im as three bands of 8 bits, lazily: 16 bits keep their high byte, grey is repeated,
// transparency is laid on white, of many channels the first three or the first count.
static VipsImage *mt_rgb(VipsImage *im, int openslide) {
	VipsImage *next;
	VipsInterpretation kind = vips_image_get_interpretation(im);
	int grey = kind == VIPS_INTERPRETATION_B_W || kind == VIPS_INTERPRETATION_GREY16;
	g_object_ref(im);
	#define STEP(call) do { int failed = (call); g_object_unref(im); if (failed) return NULL; im = next; } while (0)
	if (openslide) { // RGBA with the background filled in
		STEP(vips_extract_band(im, &next, 0, "n", 3, NULL));
		return im;
	}
	if (kind == VIPS_INTERPRETATION_MULTIBAND || (grey && im->Bands > 2)) {
		STEP(vips_extract_band(im, &next, 0, "n", im->Bands >= 3 ? 3 : 1, NULL));
	} else {
		if (kind != VIPS_INTERPRETATION_sRGB)
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
	if (im->Bands == 1) {
		VipsImage *three[] = {im, im, im};
		STEP(vips_bandjoin(three, &next, 3, NULL));
	} else if (im->Bands > 3) {
		STEP(vips_extract_band(im, &next, 0, "n", 3, NULL));
	}
	return im;
}

// mt_read copies a rectangle. A region belongs to the thread that made it, and a goroutine may move
// between threads, so it lives and dies within this call. libvips keeps two and a half rows of tiles of
// every image, 256 MB of a slide 100,000 pixels wide; forget drops them, since we have our own cache.
static int mt_read(VipsImage *im, int x, int y, int w, int h, int forget, unsigned char *dst) {
	VipsRegion *region = vips_region_new(im);
	VipsRect r = {x, y, w, h};
	int failed = vips_region_prepare(region, &r);
	if (!failed && !vips_rect_includesrect(&region->valid, &r)) {
		vips_error("slide", "the picture is smaller than the file's header says");
		failed = 1;
	}
	if (!failed)
		for (int row = 0; row < h; row++)
			memcpy(dst + (size_t) 3 * w * row, VIPS_REGION_ADDR(region, x, y + row), (size_t) 3 * w);
	g_object_unref(region);
	if (forget)
		vips_image_minimise_all(im);
	return failed;
}

// mt_bytes is the memory that the picture takes when it is decoded whole.
static guint64 mt_bytes(VipsImage *im) { return VIPS_IMAGE_SIZEOF_IMAGE(im); }

static const char *mt_format(VipsImage *im) { return vips_enum_nick(VIPS_TYPE_BAND_FORMAT, im->BandFmt); }

static const char *mt_string(VipsImage *im, const char *name) {
	const char *v;
	if (vips_image_get_typeof(im, name) != VIPS_TYPE_REF_STRING || vips_image_get_string(im, name, &v))
		return "";
	return v;
}
*/
import "C"

import (
	"fmt"
	"image"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"unsafe"

	"github.com/davidbyttow/govips/v2/vips"
)

// start starts libvips, once. Our goroutines are the parallelism and our cache is the cache, so libvips
// gets one thread and none of its own.
var start = sync.OnceFunc(func() {
	C.mt_heaps(C.int(runtime.GOMAXPROCS(0)))
	vips.LoggingSettings(func(string, vips.LogLevel, string) {}, vips.LogLevelError) // errors come as values
	vips.Startup(&vips.Config{ConcurrencyLevel: 1})
	// Programs in the clothes of pictures: no scanner writes these, and their decoders run whatever is in them.
	for _, loader := range []string{"VipsForeignLoadMagick", "VipsForeignLoadSvg", "VipsForeignLoadPdf"} {
		name := C.CString(loader)
		C.vips_operation_block_set(name, 1)
		C.free(unsafe.Pointer(name))
	}
})

// Libraries returns the versions of the libraries that slides are read with, "" for a missing one.
func Libraries() map[string]string {
	start()
	libs := map[string]string{"libvips": C.GoString(C.vips_version_string()), "openslide": "", "govips": ""}
	if hasOpenSlide() {
		libs["openslide"] = openSlideVersion()
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
	var name string
	_ = explained(func() verdict {
		if name = C.GoString(C.vips_foreign_find_load(p)); name != "" {
			return succeeded
		}
		return failed
	})
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
	path   string
	kind   int
	n      int  // level, page or SubIFD
	forget bool // libvips shall not keep tiles: blocks are whole tiles, and we keep them
	byVips bool // OpenSlide is asked by libvips, not by us; see fileReader.add
}

// A vipsImage is a lazily decoded image. It may be read by several goroutines.
type vipsImage struct {
	im *C.VipsImage
	opening
}

// open opens a level without converting it, for its metadata.
func (o opening) open() (vipsImage, error) { return opened(o.try) }

// openRGB opens a level as 8-bit RGB.
func (o opening) openRGB() (vipsImage, error) { return opened(o.tryRGB) }

// A fileError is one of the whole file, or of a level of it, rather than of a block.
type fileError struct{ error }

func (e fileError) Unwrap() error { return e.error }

func opened(try func() (vipsImage, bool)) (v vipsImage, err error) {
	err = explained(func() verdict {
		var ok bool
		if v, ok = try(); ok {
			return succeeded
		}
		return failed
	})
	return v, unopenable(err)
}

func unopenable(err error) error {
	if err == nil {
		return nil
	}
	return fileError{fmt.Errorf("it cannot be opened and may be damaged or truncated: copy it again (%w)", err)}
}

// try opens a level; the caller is explained.
func (o opening) try() (vipsImage, bool) {
	p := C.CString(o.path)
	defer C.free(unsafe.Pointer(p))
	im := C.mt_open(p, C.int(o.kind), C.int(o.n))
	return vipsImage{im, o}, im != nil
}

// tryRGB opens a level as 8-bit RGB; the caller is explained.
func (o opening) tryRGB() (vipsImage, bool) {
	if o.direct() {
		return o.tryDirect()
	}
	v, ok := o.try()
	if !ok {
		return v, false
	}
	defer v.unref()
	im := C.mt_rgb(v.im, cBool(o.kind == openSlide))
	return vipsImage{im, o}, im != nil
}

func cBool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func (v vipsImage) width() int  { return int(v.im.Xsize) }
func (v vipsImage) height() int { return int(v.im.Ysize) }
func (v vipsImage) ref()        { C.g_object_ref(C.gpointer(v.im)) }
func (v vipsImage) unref()      { C.g_object_unref(C.gpointer(v.im)) }

// xres returns the pixels a millimetre, 1 when nothing is stated.
func (v vipsImage) xres() float64 { return float64(v.im.Xres) }

// bytes returns the memory that the image takes when it is decoded whole.
func (v vipsImage) bytes() int64 { return int64(min(C.mt_bytes(v.im), 1<<62)) }

// checkFormat refuses pixels whose range nobody states.
func (v vipsImage) checkFormat() error {
	if f := v.im.BandFmt; f != C.VIPS_FORMAT_UCHAR && f != C.VIPS_FORMAT_USHORT {
		return fmt.Errorf("its pixels are of type %s: convert them to 8 or 16 bits, unsigned", C.GoString(C.mt_format(v.im)))
	}
	return nil
}

// read copies a rectangle of an RGB image into dst; the caller is explained. Of a broken JPEG tile of a
// TIFF libvips only complains: that counts as failure, too.
func (v vipsImage) read(r image.Rectangle, dst []byte) verdict {
	_ = dst[:3*r.Dx()*r.Dy()]
	if v.direct() {
		return v.readDirect(r, dst)
	}
	tiff := v.kind == tiffPage || v.kind == tiffSubIFD
	switch {
	case C.mt_read(v.im, C.int(r.Min.X), C.int(r.Min.Y), C.int(r.Dx()), C.int(r.Dy()), cBool(v.forget), (*C.uchar)(&dst[0])) != 0:
		return failed
	case !tiff:
		return succeeded
	case *C.vips_error_buffer() == 0:
		return silent
	}
	return failed
}

func (v vipsImage) text(field string) string {
	name := C.CString(field)
	defer C.free(unsafe.Pointer(name))
	return C.GoString(C.mt_string(v.im, name))
}

// complaints are the turns of all that may fill libvips' buffer: it has one for all threads.
var complaints turns

// explained makes a call of libvips, several times when it fails; the error is what libvips has to say.
func explained(call func() verdict) error {
	return complaints.explained(call, func() { C.vips_error_clear() }, func() error {
		text := C.vips_error_buffer_copy() // clears it, too
		defer C.g_free(C.gpointer(unsafe.Pointer(text)))
		line, _, _ := strings.Cut(strings.TrimSpace(C.GoString(text)), "\n") // the first is the cause
		if line == "" {
			line = "no reason given"
		}
		return fmt.Errorf("libvips: %s", line)
	})
}
