// Kernels of the direct convolutions; see direct.go for what the arguments are.
#ifndef MICROTOME_KERNELS_H
#define MICROTOME_KERNELS_H

// microtome_lanes sets how many lanes a vector may have, and returns how many they will have: 4, 8 or 16.
int microtome_lanes(int at_most);

void microtome_conv(const float *x, long plane, long row, int channels, int side, const float *weights, const float *bias,
                    int relu, float *y, long yplane, int width, long first, long last, int outputs);
void microtome_conv_weights(const float *x, long plane, long row, int channels, int side, const float *dy, long dyplane,
                            long dyrow, int height, float *dw, int first, int last, int outputs);
void microtome_pack(const float *w, int outputs, int inputs, int taps, int transposed, float *packed, int first, int last);
void microtome_relu_grad(const float *y, const float *dy, float *out, long n);
void microtome_pool(const float *x, float *y, int height, int width, int outwidth);

#endif
