/* raw FILE.svs reads level 0 as OpenSlide reads fastest: by the file's own tiles, on one thread, and prints the
   processor seconds that it took. It is what BenchmarkDecodeToRaw compares with. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static double cpu(void) {
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec + 1e-6 * (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int main(int argc, char **argv) {
	void *library = dlopen("libopenslide.so.1", RTLD_NOW);
	if (!library)
		library = dlopen("libopenslide.so.0", RTLD_NOW);
	if (argc != 2 || !library)
		return fprintf(stderr, "raw FILE.svs, with OpenSlide\n"), 2;
	void *(*open)(const char *) = (void *(*)(const char *)) dlsym(library, "openslide_open");
	const char *(*property)(void *, const char *) = (const char *(*)(void *, const char *)) dlsym(library, "openslide_get_property_value");
	const char *(*error)(void *) = (const char *(*)(void *)) dlsym(library, "openslide_get_error");
	void (*read)(void *, uint32_t *, int64_t, int64_t, int32_t, int64_t, int64_t) =
		(void (*)(void *, uint32_t *, int64_t, int64_t, int32_t, int64_t, int64_t)) dlsym(library, "openslide_read_region");
	void *slide = open(argv[1]);
	if (!slide || error(slide))
		return fprintf(stderr, "%s is no slide\n", argv[1]), 1;
	long w = atol(property(slide, "openslide.level[0].width")), h = atol(property(slide, "openslide.level[0].height"));
	long tw = atol(property(slide, "openslide.level[0].tile-width")), th = atol(property(slide, "openslide.level[0].tile-height"));
	uint32_t *pixels = malloc(4 * tw * th);
	double since = cpu();
	for (long y = 0; y < h; y += th)
		for (long x = 0; x < w; x += tw)
			read(slide, pixels, x, y, 0, w - x < tw ? w - x : tw, h - y < th ? h - y : th);
	if (error(slide))
		return fprintf(stderr, "%s\n", error(slide)), 1;
	printf("%.3f\n", cpu() - since);
	return 0;
}
