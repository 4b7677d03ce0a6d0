package slide

/*
#cgo pkg-config: vips
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>

// The functions of the OpenSlide that libvips has loaded: this program does not link it.
static struct {
	void *(*open)(const char *);
	void (*close)(void *);
	const char *(*error)(void *);
	const char *(*property)(void *, const char *);
	double (*downsample)(void *, int32_t);
	void (*read)(void *, uint32_t *, int64_t x, int64_t y, int32_t level, int64_t w, int64_t h);
	const char *(*version)(void);
} mt_openslide;

// mt_openslide_find finds them; it returns whether all are there.
static int mt_openslide_find(void) {
	const char *names[] = {"libopenslide.so.1", "libopenslide.so.0", "libopenslide.1.dylib", "libopenslide.0.dylib"};
	void *library = NULL;
	for (int i = 0; i < 4 && !library; i++)
		library = dlopen(names[i], RTLD_LAZY | RTLD_NOLOAD);
	if (!library)
		return 0;
	#define FIND(field, name) (*(void **) &mt_openslide.field = dlsym(library, "openslide_" name)) != NULL
	return FIND(version, "get_version") && FIND(open, "open") && FIND(close, "close") && FIND(error, "get_error") &&
		FIND(property, "get_property_value") && FIND(downsample, "get_level_downsample") && FIND(read, "read_region");
}

static const char *mt_openslide_version(void) {
	return mt_openslide.version ? mt_openslide.version() : "in libvips";
}

// A level that is read without libvips: what an image without pixels carries along, so that it is
// counted and let go of like any other.
typedef struct {
	void *slide;
	int32_t level;
	double downsample;
	uint32_t background; // 0xRRGGBB, of what was not scanned
} mt_level;

static void mt_level_free(void *of) {
	mt_level *l = of;
	mt_openslide.close(l->slide);
	free(l);
}

static VipsImage *mt_level_open(const char *path, int level) {
	void *slide = mt_openslide.open(path);
	const char *error = slide ? mt_openslide.error(slide) : "unsupported slide format";
	if (error) {
		vips_error("openslide", "opening slide: %s", error);
		if (slide)
			mt_openslide.close(slide);
		return NULL;
	}
	mt_level *l = malloc(sizeof *l);
	const char *background = mt_openslide.property(slide, "openslide.background-color");
	*l = (mt_level) {slide, level, mt_openslide.downsample(slide, level), background ? strtoul(background, NULL, 16) : 0xffffff};
	VipsImage *im = vips_image_new();
	g_object_set_data_full(G_OBJECT(im), "level", l, mt_level_free);
	return im;
}

// mt_opaque turns n pixels from OpenSlide's premultiplied ARGB into RGB. As libvips does, it lays nothing on a
// background but what is wholly transparent, and takes the colour of what is so in part.
static void mt_opaque(uint8_t *restrict dst, const uint32_t *restrict src, size_t n, uint32_t background) {
	for (; n > 0; n--, src++, dst += 3) {
		uint32_t p = *src, a = p >> 24;
		if (a == 0)
			p = background;
		else if (a != 255)
			p = (255 * (p >> 16 & 255) / a & 255) << 16 | (255 * (p >> 8 & 255) / a & 255) << 8 | (255 * (p & 255) / a & 255);
		dst[0] = p >> 16;
		dst[1] = p >> 8;
		dst[2] = p;
	}
}

static int mt_level_read(VipsImage *im, int x, int y, int w, int h, uint8_t *dst) {
	mt_level *l = g_object_get_data(G_OBJECT(im), "level");
	size_t n = (size_t) w * h;
	uint32_t *argb = malloc(4 * n);
	if (!argb) {
		vips_error("openslide", "out of memory");
		return 1;
	}
	mt_openslide.read(l->slide, argb, x * l->downsample, y * l->downsample, l->level, w, h);
	const char *error = mt_openslide.error(l->slide);
	if (error)
		vips_error("openslide", "reading region: %s", error);
	else
		mt_opaque(dst, argb, n, l->background);
	free(argb);
	return error != NULL;
}
*/
import "C"

import (
	"image"
	"sync"
	"unsafe"
)

// directly reports whether OpenSlide's functions are at hand. Through libvips the same pixels take an eighth longer
// (BenchmarkWays): they are copied from one of its buffers to the next.
var directly = sync.OnceValue(func() bool {
	start()
	return C.mt_openslide_find() != 0
})

func openSlideVersion() string {
	directly()
	return C.GoString(C.mt_openslide_version())
}

// direct reports whether the pixels of an opening are read without libvips.
func (o opening) direct() bool { return o.kind == openSlide && !o.byVips && directly() }

// tryDirect opens a level; the caller is explained.
func (o opening) tryDirect() (vipsImage, bool) {
	p := C.CString(o.path)
	defer C.free(unsafe.Pointer(p))
	im := C.mt_level_open(p, C.int(o.n))
	return vipsImage{im, o}, im != nil
}

// readDirect copies a rectangle of a level into dst; the caller is explained.
func (v vipsImage) readDirect(r image.Rectangle, dst []byte) verdict {
	if C.mt_level_read(v.im, C.int(r.Min.X), C.int(r.Min.Y), C.int(r.Dx()), C.int(r.Dy()), (*C.uint8_t)(&dst[0])) != 0 {
		return failed
	}
	return succeeded
}
