//go:build cgo && !purego

// Direct convolutions. Each output is one chain of multiply-adds over channels, rows and columns of the
// kernel, in that order, whatever its place and the size of the image: so results do not depend on how an
// image is cut into tiles. The vectors are the compiler's; the code is built once for each width of
// register that may be found, and the widest is used.
#include "kernels.h"

#include <string.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

typedef float four __attribute__((vector_size(16)));

#define GROUP 4 // output channels that are computed together; weights are packed in such groups

#if defined(__x86_64__)
#define NAME(f) JOIN(f, _avx512)
#define LANES 16
#define VECTORS 4
#define TARGET __attribute__((target("avx512f,avx2,fma")))
#include "kernels_body.h"
#define NAME(f) JOIN(f, _avx2)
#define LANES 8
#define VECTORS 2
#define TARGET __attribute__((target("avx2,fma")))
#include "kernels_body.h"
#define NAME(f) JOIN(f, _plain)
#define LANES 4
#define VECTORS 2
#define TARGET
#include "kernels_body.h"

static int most = 16; // lanes that may be used

static int lanes(void) {
	if (most >= 16 && __builtin_cpu_supports("avx512f")) return 16;
	return most >= 8 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 8 : 4;
}

int microtome_lanes(int at_most) {
	most = at_most;
	return lanes();
}

#define CALL(f, ...)                                        \
	do {                                                    \
		switch (lanes()) {                                  \
		case 16: JOIN(f, _avx512)(__VA_ARGS__); break;      \
		case 8: JOIN(f, _avx2)(__VA_ARGS__); break;         \
		default: JOIN(f, _plain)(__VA_ARGS__);              \
		}                                                   \
	} while (0)
#else
#define NAME(f) JOIN(f, _plain)
#define LANES 4
#define VECTORS 4
#define TARGET
#include "kernels_body.h"
#define CALL(f, ...) JOIN(f, _plain)(__VA_ARGS__)

int microtome_lanes(int at_most) {
	(void)at_most;
	return 4;
}
#endif

// microtome_conv computes rows [first, last) of the outputs.
void microtome_conv(const float *x, long plane, long row, int channels, int side, const float *weights, const float *bias,
                    int relu, float *y, long yplane, int width, long first, long last, int outputs) {
	if (side == 3)
		CALL(conv3, x, plane, row, channels, weights, bias, relu, y, yplane, width, first, last, outputs);
	else
		CALL(conv1, x, plane, row, channels, weights, bias, relu, y, yplane, width, first, last, outputs);
}

// microtome_conv_weights computes the gradient of the weights of output channels [first, last).
void microtome_conv_weights(const float *x, long plane, long row, int channels, int side, const float *dy, long dyplane,
                            long dyrow, int height, float *dw, int first, int last, int outputs) {
	if (side == 3)
		CALL(weights3, x, plane, row, channels, dy, dyplane, dyrow, height, dw, first, last, outputs);
	else
		CALL(weights1, x, plane, row, channels, dy, dyplane, dyrow, height, dw, first, last, outputs);
}

// microtome_pack brings groups [first, last) of weights, outputs × inputs × taps, into the order the kernels
// read them: group × inputs × taps × GROUP. Transposed, outputs and inputs change places and taps are
// turned by 180°, as the gradient of the input wants them.
void microtome_pack(const float *w, int outputs, int inputs, int taps, int transposed, float *packed, int first, int last) {
	int outs = transposed ? inputs : outputs, ins = transposed ? outputs : inputs;
	for (int g = first; g < last; g++) {
		float *p = packed + (long)g * ins * taps * GROUP;
		int n = outs - g * GROUP < GROUP ? outs - g * GROUP : GROUP;
		if (n < GROUP) memset(p, 0, sizeof(float) * ins * taps * GROUP);
		for (int i = 0; i < ins; i++)
			for (int k = 0; k < n; k++) {
				long o = g * GROUP + k;
				const float *from = transposed ? w + (i * (long)inputs + o) * taps + taps - 1 : w + (o * inputs + i) * taps;
				for (int t = 0; t < taps; t++) p[(i * taps + t) * GROUP + k] = transposed ? from[-t] : from[t];
			}
	}
}

void microtome_relu_grad(const float *y, const float *dy, float *out, long n) {
	for (long i = 0; i < n; i++) {
		float d = dy[i]; // read in any case, or there are branches instead of vectors
		out[i] = y[i] > 0 ? d : 0;
	}
}

// larger returns the larger of two, or what is not a number.
static inline float larger(float a, float b) { return a > b || a != a ? a : b; }

// microtome_pool takes the largest of each 2 × 2 pixels of one channel.
void microtome_pool(const float *x, float *y, int height, int width, int outwidth) {
	for (int r = 0; r < height / 2; r++) {
		const float *a = x + (long)2 * r * width, *b = a + width;
		float *d = y + (long)r * outwidth;
		for (int i = 0; i < outwidth; i++) d[i] = larger(larger(a[2 * i], a[2 * i + 1]), larger(b[2 * i], b[2 * i + 1]));
	}
}
