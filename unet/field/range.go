package field

import (
	"fmt"
	"sort"
	"strings"

	"microtome/unet/onnx"
)

// A window says which pixels of its input, from first to last, an operator looks at for pixel j of its output, were the image
// endless. Both grow with j. Pixels that no image has, before 0 or beyond the end, are what padding stands for.
type window struct{ first, last func(j int) int }

// through returns the span of an operator's output of n pixels, whose pixel 0 lies at pixel start of its input and whose pixels lie
// scale of its input's apart.
func (s span) through(n int, w window, scale, start ratio) span {
	out := span{n: n, scale: s.scale.times(scale), start: s.start.plus(s.scale.times(start))}
	out.lo = sort.Search(n, func(j int) bool { return w.first(j) >= s.lo })
	out.hi = max(out.lo, sort.Search(n, func(j int) bool { return w.last(j) >= s.hi }))
	return out
}

// shifted is through for an operator that leaves pixels out at the start, or puts others there where by is negative.
func (s span) shifted(n, by int) span {
	at := func(j int) int { return j + by }
	return s.through(n, window{at, at}, one, ratio{int64(by), 1})
}

// A kernel is what a convolution or pooling does along one axis.
type kernel struct{ size, stride, dilation, before, after int }

// reach returns how many pixels the kernel covers.
func (k kernel) reach() int { return (k.size-1)*k.dilation + 1 }

// gather is the window of a convolution or pooling: output j looks at the pixels from j·stride - before on.
func (s span) gather(n int, k kernel) span {
	w := window{
		func(j int) int { return j*k.stride - k.before },
		func(j int) int { return j*k.stride - k.before + k.reach() - 1 },
	}
	return s.through(n, w, ratio{int64(k.stride), 1}, fraction(int64(k.reach()-1-2*k.before), 2))
}

// scatter is the window of a transposed convolution: input i adds to the outputs from i·stride - before on.
func (s span) scatter(n int, k kernel) span {
	w := window{
		func(j int) int { return ceilDiv(j+k.before-k.reach()+1, k.stride) },
		func(j int) int { return floorDiv(j+k.before, k.stride) },
	}
	return s.through(n, w, fraction(1, int64(k.stride)), fraction(int64(2*k.before-k.reach()+1), int64(2*k.stride)))
}

// blocks is the window of pixels that are split: each becomes times pixels.
func (s span) blocks(times int) span {
	at := func(j int) int { return j / times }
	return s.through(s.n*times, window{at, at}, fraction(1, int64(times)), fraction(int64(1-times), int64(2*times)))
}

// joined is the window of times pixels that become one.
func (s span) joined(times int) span {
	return s.gather(s.n/times, kernel{size: times, stride: times, dilation: 1})
}

// kernels returns what a convolution or pooling does along the axes from the third on, without padding by auto_pad, and
// the lengths of these axes.
func (c *call) kernels(shape []int) ([]kernel, error) {
	rank := c.rank() - 2
	if rank == 3 && c.in[0].image {
		return nil, refuse("the model takes volumes: microtome segments 2-D images")
	}
	if rank < 1 || len(shape) != rank {
		return nil, refuse("a kernel of %d dimensions on a tensor of %d: the file is damaged", len(shape), c.rank())
	}
	lists := map[string][]int{}
	for name, n := range map[string]int{"strides": rank, "dilations": rank, "pads": 2 * rank} {
		list, given, err := c.list(name, len(c.in))
		if err != nil {
			return nil, err
		}
		if given && len(list) != n {
			return nil, refuse("it has %d %s and needs %d: the file is damaged", len(list), name, n)
		}
		lists[name] = list
	}
	out := make([]kernel, rank)
	for i, size := range shape {
		k := kernel{size: size, stride: 1, dilation: 1}
		if s := lists["strides"]; s != nil {
			k.stride = s[i]
		}
		if d := lists["dilations"]; d != nil {
			k.dilation = d[i]
		}
		if p := lists["pads"]; p != nil {
			k.before, k.after = p[i], p[rank+i]
		}
		if min(k.size, k.stride, k.dilation) < 1 || max(k.size, k.stride, k.dilation, k.before, -k.before, k.after, -k.after) > 1<<16 || k.reach() > 1<<20 {
			return nil, refuse("a kernel of %d pixels, stride %d, dilation %d, padding %d and %d: the file is damaged", k.size, k.stride, k.dilation, k.before, k.after)
		}
		out[i] = k
	}
	return out, nil
}

// autoPad pads so that an output has a size, as auto_pad says; a pad that cannot be halved is the larger at the end, or with
// SAME_LOWER at the start.
func (k *kernel) autoPad(mode string, total int) {
	total = max(total, 0)
	k.before, k.after = total/2, total-total/2
	if mode != "SAME_UPPER" {
		k.before, k.after = k.after, k.before
	}
}

// slide moves kernels over the input: of a convolution or pooling that gives so many channels.
func (c *call) slide(kernels []kernel, channels int) (*value, error) {
	in := c.regain(c.in[0], [2]int{2, 3})
	dims := append([]int{in.dims[0], channels}, in.dims[2:]...)
	mode := c.node.Text("auto_pad", "NOTSET")
	up := c.node.Int("ceil_mode", 0) != 0
	for i := range kernels {
		k, n := &kernels[i], in.dims[2+i]
		if strings.HasPrefix(mode, "SAME") {
			k.autoPad(mode, (ceilDiv(n, k.stride)-1)*k.stride+k.reach()-n)
		} else if mode == "VALID" {
			k.before, k.after = 0, 0
		}
		room := n + k.before + k.after - k.reach()
		if room < 0 {
			return nil, fmt.Errorf("%d pixels are fewer than its kernel of %d", n, k.reach())
		}
		dims[2+i] = room/k.stride + 1
		if up {
			dims[2+i] = ceilDiv(room, k.stride) + 1
			if (dims[2+i]-1)*k.stride >= n+k.before {
				dims[2+i]-- // a window that begins in the padding is left out
			}
		}
	}
	return c.moved(in, dims, kernels, span.gather), nil
}

// moved returns the output of kernels that gather or scatter along the axes from the third on.
func (c *call) moved(in *value, dims []int, kernels []kernel, how func(s span, n int, k kernel) span) *value {
	out := in.with(dims)
	if !in.spatial() {
		return out
	}
	if in.flat() || min(in.axis[0], in.axis[1]) < 2 {
		still := true
		for _, k := range kernels {
			still = still && k.reach() == 1 && k.stride == 1 && k.before == 0 && k.after == 0
		}
		if in.flat() && in.axis[0] >= 2 && still {
			return out
		}
		return lose(c.spread(out, "mixes pixels of the whole image as if they were channels"))
	}
	for i, k := range kernels {
		if at := in.along(2 + i); at >= 0 {
			out.span[at] = how(in.span[at], dims[2+i], k)
		}
	}
	return out
}

func conv(c *call) ([]*value, error) { return c.convolve(c.in[0], c.in[1]) }

// qlinearConv has scales and zero points between image and weights.
func qlinearConv(c *call) ([]*value, error) {
	out, err := c.convolve(c.in[0], c.in[3])
	if err == nil {
		out[0].kind = c.in[7].kind
	}
	return out, err
}

func convInteger(c *call) ([]*value, error) {
	out, err := c.convolve(c.in[0], c.in[1])
	if err == nil {
		out[0].kind = onnx.Int32
	}
	return out, err
}

func (c *call) convolve(in, weights *value) ([]*value, error) {
	if c.rank() < 3 || len(weights.dims) != c.rank() {
		return nil, refuse("weights of %d dimensions on a tensor of %d: the file is damaged", len(weights.dims), c.rank())
	}
	if weights.image {
		return []*value{c.spread(in, "has weights that depend on the image")}, nil
	}
	kernels, err := c.kernels(weights.dims[2:])
	if err != nil {
		return nil, err
	}
	group := int(c.node.Int("group", 1))
	if group < 1 || group > 1<<20 || weights.dims[1]*group != in.dims[1] {
		return nil, refuse("it convolves %d channels and is given %d: the file is damaged", weights.dims[1]*group, in.dims[1])
	}
	out, err := c.slide(kernels, weights.dims[0])
	if err != nil {
		return nil, err
	}
	if in.image {
		c.flop += 2 * float64(out.size()) * float64(weights.size()) / float64(max(weights.dims[0], 1))
	}
	return []*value{out}, nil
}

func convTranspose(c *call) ([]*value, error) {
	in, weights := c.in[0], c.in[1]
	if c.rank() < 3 || len(weights.dims) != c.rank() || weights.dims[0] != in.dims[1] || weights.image {
		return nil, refuse("it convolves %v with %v: the file is damaged", in.dims, weights.dims)
	}
	kernels, err := c.kernels(weights.dims[2:])
	if err != nil {
		return nil, err
	}
	extra, _, err := c.list("output_padding", len(c.in))
	if err != nil {
		return nil, err
	}
	shape, _, err := c.list("output_shape", len(c.in))
	if err != nil {
		return nil, err
	}
	group := int(c.node.Int("group", 1))
	if extra != nil && len(extra) != len(kernels) || shape != nil && len(shape) < len(kernels) || group < 1 || group > 1<<20 {
		return nil, refuse("its sizes do not fit its kernel: the file is damaged")
	}
	in = c.regain(in, [2]int{2, 3})
	mode := c.node.Text("auto_pad", "NOTSET")
	dims := append([]int{in.dims[0], weights.dims[1] * group}, in.dims[2:]...)
	for i := range kernels {
		k := &kernels[i]
		full := (in.dims[2+i]-1)*k.stride + k.reach()
		if extra != nil {
			full += extra[i]
		}
		switch {
		case shape != nil:
			dims[2+i] = shape[len(shape)-len(kernels)+i]
			k.autoPad(mode, full-dims[2+i])
		case strings.HasPrefix(mode, "SAME"):
			dims[2+i] = in.dims[2+i] * k.stride
			k.autoPad(mode, full-dims[2+i])
		default:
			if mode == "VALID" {
				k.before, k.after = 0, 0
			}
			dims[2+i] = full - k.before - k.after
		}
		if dims[2+i] < 0 {
			return nil, fmt.Errorf("%d pixels are fewer than its padding", in.dims[2+i])
		}
	}
	if in.image {
		c.flop += 2 * float64(in.size()) * float64(weights.size()) / float64(max(weights.dims[0], 1))
	}
	return []*value{c.moved(in, dims, kernels, span.scatter)}, nil
}

func pool(c *call) ([]*value, error) {
	shape, given, err := c.list("kernel_shape", len(c.in))
	if err != nil || !given || c.rank() < 3 {
		return nil, refuse("it has no kernel: the file is damaged")
	}
	kernels, err := c.kernels(shape)
	if err != nil {
		return nil, err
	}
	out, err := c.slide(kernels, c.in[0].dims[1])
	if err != nil {
		return nil, err
	}
	where := *out
	where.kind = onnx.Int64
	if where.image { // indices of maxima count from the tile's first pixel
		where = *c.spread(&where, "numbers pixels from the image's first")
	}
	return []*value{out, &where}, nil
}

// pad counts every pixel that it adds as touched, whatever it is filled with: an endless image has others there.
func pad(c *call) ([]*value, error) {
	in := c.in[0]
	pads, given, err := c.list("pads", 1)
	if err != nil || !given {
		return nil, refuse("its pads depend on what the image shows: export the model without it")
	}
	axes := make([]int, c.rank())
	for i := range axes {
		axes[i] = i
	}
	if list, given, err := c.axes(3); err != nil {
		return nil, err
	} else if given {
		axes = list
	}
	if len(pads) != 2*len(axes) {
		return nil, refuse("%d pads for %d axes: the file is damaged", len(pads), len(axes))
	}
	dims := append([]int(nil), in.dims...)
	out := in.with(dims)
	for i, a := range axes {
		before, after := pads[i], pads[len(axes)+i]
		dims[a] += before + after
		if dims[a] < 0 || max(before, after) > 1<<20 {
			return nil, fmt.Errorf("%d pixels with pads of %d and %d", in.dims[a], before, after)
		}
		if mode := c.node.Text("mode", "constant"); mode == "reflect" && max(before, after) >= in.dims[a] && in.dims[a] > 0 && max(before, after) > 0 {
			return nil, fmt.Errorf("%d pixels are too few to mirror %d of them", in.dims[a], max(before, after))
		}
		if in.flat() && in.holds(a) && (before != 0 || after != 0) {
			return []*value{lose(c.spread(out, "pads rows that were joined to one axis"))}, nil
		}
		if at := in.along(a); at >= 0 {
			out.span[at] = in.span[at].shifted(dims[a], -before)
		}
	}
	return []*value{out}, nil
}

// depthToSpace makes pixels of channels, spaceToDepth channels of pixels.
func depthToSpace(c *call) ([]*value, error) {
	in, block := c.in[0], int(c.node.Int("blocksize", 0))
	if c.rank() != 4 || block < 1 || block > 1<<10 || in.dims[1]%(block*block) != 0 {
		return nil, refuse("blocks of %d for %v: the file is damaged", block, in.dims)
	}
	in = c.regain(in, [2]int{2, 3})
	out := in.with([]int{in.dims[0], in.dims[1] / (block * block), in.dims[2] * block, in.dims[3] * block})
	return c.inPlace(in, out, func(s span) span { return s.blocks(block) }), nil
}

func spaceToDepth(c *call) ([]*value, error) {
	in, block := c.in[0], int(c.node.Int("blocksize", 0))
	if c.rank() != 4 || block < 1 || block > 1<<10 {
		return nil, refuse("blocks of %d for %v: the file is damaged", block, in.dims)
	}
	if in.dims[2]%block != 0 || in.dims[3]%block != 0 {
		return nil, fmt.Errorf("%d × %d pixels do not make blocks of %d", in.dims[2], in.dims[3], block)
	}
	in = c.regain(in, [2]int{2, 3})
	out := in.with([]int{in.dims[0], in.dims[1] * block * block, in.dims[2] / block, in.dims[3] / block})
	return c.inPlace(in, out, func(s span) span { return s.joined(block) }), nil
}

// inPlace changes the spans of an image whose height and width are axes 2 and 3.
func (c *call) inPlace(in, out *value, change func(s span) span) []*value {
	if in.spatial() && (in.flat() || min(in.axis[0], in.axis[1]) < 2) {
		return []*value{lose(c.spread(out, "makes channels of whole rows"))}
	}
	if in.spatial() {
		for k := range out.span {
			out.span[k] = change(in.span[k])
		}
	}
	return []*value{out}
}

// resize follows Resize, and Upsample and the Resize of opset 10, which know neither the modes of coordinates nor sizes.
func resize(c *call) ([]*value, error) {
	old := c.node.Op == "Upsample" || c.graph.opset < 11
	in := c.in[0]
	if c.rank() == 4 { // height and width last, or, as in files made of TensorFlow's, before the channels
		in = c.regain(in, [2]int{2, 3})
	}
	axes := make([]int, c.rank())
	for i := range axes {
		axes[i] = i
	}
	if list, given, err := c.axes(len(c.in)); err != nil {
		return nil, err
	} else if given {
		axes = list
	}
	if c.node.Text("keep_aspect_ratio_policy", "stretch") != "stretch" {
		return nil, refuse("it keeps the aspect ratio of an image: export the model with plain sizes")
	}
	at := 2 // of the scales
	if old {
		at = 1
	}
	dims := append([]int(nil), in.dims...)
	scales := make([]ratio, len(dims))
	for i := range scales {
		scales[i] = one
	}
	var factors []float64
	if v := c.input(at); v != nil && v.size() > 0 {
		if factors = v.all(); factors == nil {
			return nil, refuse("its scales depend on what the image shows: export the model without it")
		}
	} else if a := c.node.Attribute("scales"); a != nil && old {
		for _, f := range a.Floats {
			factors = append(factors, float64(f))
		}
	}
	sizes := c.input(3).wholes()
	switch {
	case !old && sizes != nil && len(sizes) == len(axes):
		for i, a := range axes {
			if dims[a] == 0 || sizes[i] < 1 {
				return nil, fmt.Errorf("%d pixels become %d", dims[a], sizes[i])
			}
			scales[a] = fraction(int64(sizes[i]), int64(dims[a]))
			dims[a] = sizes[i]
		}
	case len(factors) == len(axes):
		for i, a := range axes {
			scales[a] = nearby(factors[i])
			if scales[a].den == 0 {
				return nil, refuse("its scale %v is no simple fraction: export the model with a whole one", factors[i])
			}
			dims[a] = int(float64(dims[a])*float64(scales[a].num)/float64(scales[a].den) + 1e-9)
		}
	default:
		return nil, refuse("it is given neither scales nor sizes that can be followed: export the model with fixed scales")
	}
	out := in.with(dims)
	for a := range dims {
		if scales[a] == one {
			continue
		}
		if in.flat() && in.holds(a) || in.image && !in.holds(a) && in.spatial() {
			return []*value{lose(c.spread(out, "interpolates along an axis that is neither height nor width"))}, nil
		}
		if k := in.along(a); in.spatial() && k >= 0 {
			s, why, err := c.interpolate(in.span[k], dims[a], scales[a], old)
			if err != nil {
				return nil, err
			}
			if why != "" {
				out = c.spread(out, why)
			}
			out.span[k] = s
		}
	}
	return []*value{out}, nil
}

// interpolate returns what Resize makes of a row. Coordinate x of the input that output j is taken from is (a·j + b) / d.
func (c *call) interpolate(s span, n int, scale ratio, old bool) (out span, why string, err error) {
	coordinates := c.node.Text("coordinate_transformation_mode", "half_pixel")
	mode := c.node.Text("mode", "nearest")
	rounding := c.node.Text("nearest_mode", "round_prefer_floor")
	if old {
		coordinates, rounding = "asymmetric", "floor"
		if scale.num < scale.den {
			rounding = "ceil"
		}
	}
	up, down := int(scale.num), int(scale.den)
	a, b, d := 2*down, 0, 2*up
	switch coordinates {
	case "half_pixel", "pytorch_half_pixel", "half_pixel_symmetric":
		b = down - up
		if coordinates == "half_pixel_symmetric" {
			b += s.n*up - n*down // what the output's size, rounded down, leaves of the input
		}
	case "asymmetric":
	case "tf_half_pixel_for_nn":
		b = down
	case "align_corners":
		b = down - up // about
		why = "interpolates between the image's corners (align_corners), so each pixel depends on the image's size: export the model with half_pixel"
	default:
		return s, "", refuse("it cuts out parts of the image (%s): export the model without it", coordinates)
	}
	var w window
	switch mode {
	case "nearest":
		at := func(j int) int { return floorDiv(a*j+b, d) }
		switch rounding {
		case "ceil":
			at = func(j int) int { return ceilDiv(a*j+b, d) }
		case "round_prefer_floor":
			at = func(j int) int { return ceilDiv(2*(a*j+b)-d, 2*d) }
		case "round_prefer_ceil":
			at = func(j int) int { return floorDiv(2*(a*j+b)+d, 2*d) }
		}
		w = window{at, at}
	case "linear":
		w = window{func(j int) int { return floorDiv(a*j+b, d) }, func(j int) int { return ceilDiv(a*j+b, d) }}
	case "cubic": // where x is whole one pixel is enough, but windows must move to the right
		w = window{func(j int) int { return floorDiv(a*j+b, d) - 1 }, func(j int) int { return floorDiv(a*j+b, d) + 2 }}
	default:
		return s, "", refuse("it interpolates in a way that is not known, %s", mode)
	}
	if c.node.Int("antialias", 0) != 0 && mode != "nearest" && up < down { // the kernel is as wide as the step
		taps := map[string]int{"linear": 1, "cubic": 2}[mode] * ceilDiv(down, up)
		w = window{func(j int) int { return floorDiv(a*j+b, d) - taps }, func(j int) int { return ceilDiv(a*j+b, d) + taps }}
	}
	if mode != "nearest" && d&(d-1) != 0 {
		c.rounding = label(c.node) + " interpolates by a factor that is no power of two"
	}
	start := fraction(int64(b), int64(d))
	if mode == "nearest" { // where a pixel's value comes from on average
		sum, period := 0, max(1, up)
		for j := range min(period, 1<<10) {
			sum += (w.first(j)*d - a*j) * 2
		}
		start = fraction(int64(sum), int64(2*d*min(period, 1<<10)))
	}
	return s.through(n, w, fraction(int64(a), int64(d)), start), why, nil
}
