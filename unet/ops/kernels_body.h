// The kernels for one width of register: NAME, LANES, VECTORS and TARGET are set by kernels.c, which includes
// this once for each. There is no include guard on purpose.

typedef float NAME(vector) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int NAME(mask) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define V NAME(vector)

// SIDE × SIDE kernels are unrolled by the compiler: side is a constant where these are inlined.
static inline __attribute__((always_inline)) TARGET void NAME(conv)(const float *x, long plane, long row, int channels, int side,
                                                                   const float *weights, const float *bias, int relu, float *y,
                                                                   long yplane, int width, long first, long last, int outputs) {
	long across = (width + LANES - 1) / LANES, end = last * across;
	for (long p = first * across; p < end; p += VECTORS) {
		long at[VECTORS], to[VECTORS];
		int n[VECTORS];
		for (int i = 0; i < VECTORS; i++) { // the last vectors of a strip repeat the very last one
			long q = p + i < end ? p + i : end - 1, column = q % across * LANES;
			at[i] = q / across * row + column;
			to[i] = q / across * width + column;
			n[i] = width - column < LANES ? width - column : LANES;
		}
		const float *w = weights;
		for (int k = 0; k < outputs; k += GROUP) {
			V sum[GROUP][VECTORS];
			for (int g = 0; g < GROUP; g++) {
				float b = bias && k + g < outputs ? bias[k + g] : 0;
				for (int i = 0; i < VECTORS; i++) sum[g][i] = b - (V){};
			}
			const float *xc = x;
			for (int c = 0; c < channels; c++, xc += plane)
				for (int ky = 0; ky < side; ky++)
					for (int kx = 0; kx < side; kx++, w += GROUP) {
						const float *tap = xc + ky * row + kx;
						V in[VECTORS];
						for (int i = 0; i < VECTORS; i++) in[i] = *(const V *)(tap + at[i]);
						for (int g = 0; g < GROUP; g++)
							for (int i = 0; i < VECTORS; i++) sum[g][i] += in[i] * w[g];
					}
			for (int g = 0; g < GROUP && k + g < outputs; g++)
				for (int i = 0; i < VECTORS; i++) {
					V v = sum[g][i];
					if (relu) v = (V)((NAME(mask))v & ~(v < 0)); // keeps what is not a number
					float *d = y + (k + g) * yplane + to[i];
					if (n[i] == LANES)
						*(V *)d = v;
					else
						memcpy(d, &v, 4 * n[i]);
				}
		}
	}
}

static TARGET void NAME(conv3)(const float *x, long plane, long row, int channels, const float *weights, const float *bias,
                               int relu, float *y, long yplane, int width, long first, long last, int outputs) {
	NAME(conv)(x, plane, row, channels, 3, weights, bias, relu, y, yplane, width, first, last, outputs);
}

static TARGET void NAME(conv1)(const float *x, long plane, long row, int channels, const float *weights, const float *bias,
                               int relu, float *y, long yplane, int width, long first, long last, int outputs) {
	NAME(conv)(x, plane, row, channels, 1, weights, bias, relu, y, yplane, width, first, last, outputs);
}

// sum adds the lanes of a vector by halves, which takes no more than a few additions.
static inline __attribute__((always_inline)) TARGET float NAME(sum)(V v) {
	four s = {};
	union {
		V whole;
		four part[LANES / 4];
	} u = {v};
	for (int i = 0; i < LANES / 4; i++) s += u.part[i];
	return (s[0] + s[2]) + (s[1] + s[3]);
}

static inline __attribute__((always_inline)) TARGET void NAME(weights)(const float *x, long plane, long row, int channels, int side,
                                                                      const float *dy, long dyplane, long dyrow, int height,
                                                                      float *dw, int first, int last, int outputs) {
	for (int k = first; k < last; k += GROUP) {
		const float *d[GROUP];
		for (int g = 0; g < GROUP; g++) d[g] = dy + (long)(k + g < outputs ? k + g : outputs - 1) * dyplane;
		for (int c = 0; c < channels; c += 2) {
			const float *x0 = x + c * plane, *x1 = x + (c + 1 < channels ? c + 1 : c) * plane;
			for (int ky = 0; ky < side; ky++) {
				V sum[2][3][GROUP] = {};
				for (int r = 0; r < height; r++)
					for (long i = 0; i < dyrow; i += LANES) {
						V g[GROUP];
						for (int j = 0; j < GROUP; j++) g[j] = *(const V *)(d[j] + r * dyrow + i);
						for (int kx = 0; kx < side; kx++) {
							V a = *(const V *)(x0 + (r + ky) * row + i + kx), b = *(const V *)(x1 + (r + ky) * row + i + kx);
							for (int j = 0; j < GROUP; j++) {
								sum[0][kx][j] += a * g[j];
								sum[1][kx][j] += b * g[j];
							}
						}
					}
				for (int j = 0; j < GROUP && k + j < outputs; j++)
					for (int h = 0; h < 2 && c + h < channels; h++)
						for (int kx = 0; kx < side; kx++)
							dw[(((long)(k + j) * channels + c + h) * side + ky) * side + kx] = NAME(sum)(sum[h][kx][j]);
			}
		}
	}
}

static TARGET void NAME(weights3)(const float *x, long plane, long row, int channels, const float *dy, long dyplane, long dyrow,
                                  int height, float *dw, int first, int last, int outputs) {
	NAME(weights)(x, plane, row, channels, 3, dy, dyplane, dyrow, height, dw, first, last, outputs);
}

static TARGET void NAME(weights1)(const float *x, long plane, long row, int channels, const float *dy, long dyplane, long dyrow,
                                  int height, float *dw, int first, int last, int outputs) {
	NAME(weights)(x, plane, row, channels, 1, dy, dyplane, dyrow, height, dw, first, last, outputs);
}

#undef V
#undef NAME
#undef LANES
#undef VECTORS
#undef TARGET
