package field

import (
	"fmt"
	"math"
	"slices"

	"microtome/unet/onnx"
)

// This file has the operators that move elements and compute none.

func constantNode(c *call) ([]*value, error) {
	for _, a := range c.node.Attributes {
		switch {
		case a.Name == "value" && a.Tensor != nil:
			v, err := constant(a.Tensor)
			if err != nil {
				return nil, refusal{err}
			}
			return []*value{v}, nil
		case a.Name == "value_int":
			return []*value{numbers([]int{}, float64(a.Int))}, nil
		case a.Name == "value_ints":
			out := numbers([]int{len(a.Ints)})
			for _, i := range a.Ints[:min(len(a.Ints), mostElements)] {
				out.data = append(out.data, float64(i))
			}
			return []*value{out}, nil
		case a.Name == "value_float" || a.Name == "value_floats":
			list := a.Floats
			out := numbers([]int{len(list)})
			if a.Name == "value_float" {
				list, out.dims = []float32{a.Float}, []int{}
			}
			out.kind = onnx.Float32
			for _, f := range list[:min(len(list), mostElements)] {
				out.data = append(out.data, float64(f))
			}
			return []*value{out}, nil
		}
	}
	return nil, refuse("it holds no number: the file is damaged")
}

func constantOfShape(c *call) ([]*value, error) {
	dims := c.in[0].wholes()
	if dims == nil && c.in[0].size() > 0 {
		return nil, refuse("its size depends on what the image shows")
	}
	out := numbers(dims, 0)
	out.kind = onnx.Float32
	if a := c.node.Attribute("value"); a != nil && a.Tensor != nil {
		out.kind, out.data = a.Tensor.Type, elements(a.Tensor)
		if len(out.data) != 1 {
			out.data = nil
		}
	}
	return []*value{out}, nil
}

func shape(c *call) ([]*value, error) {
	rank := c.rank()
	clip := func(name string, fallback int64) int {
		at := int(max(-mostRank, min(mostRank, c.node.Int(name, fallback))))
		if at < 0 {
			at += rank
		}
		return max(0, min(rank, at))
	}
	start, end := clip("start", 0), clip("end", mostRank)
	dims := c.in[0].dims[start:max(start, end)]
	out := numbers([]int{len(dims)})
	out.data = make([]float64, len(dims))
	for i, d := range dims {
		out.data[i] = float64(d)
	}
	return []*value{out}, nil
}

func size(c *call) ([]*value, error) {
	return []*value{numbers([]int{}, float64(c.in[0].size()))}, nil
}

func rangeOf(c *call) ([]*value, error) {
	var x [3]float64
	for i, v := range c.in[:3] {
		if v == nil || len(v.data) != 1 {
			return nil, refuse("its bounds depend on what the image shows")
		}
		x[i] = v.data[0]
	}
	n := math.Ceil((x[1] - x[0]) / x[2])
	if math.IsNaN(n) || n > math.MaxInt32 {
		return nil, refuse("it counts from %v to %v by %v: the file is damaged", x[0], x[1], x[2])
	}
	n = max(n, 0)
	out := numbers([]int{int(n)})
	out.kind = c.in[0].kind
	if n <= mostElements {
		out.data = make([]float64, int(n))
		for i := range out.data {
			out.data[i] = x[0] + float64(i)*x[2]
		}
	}
	return []*value{out}, nil
}

func slice(c *call) ([]*value, error) {
	in := c.in[0]
	starts, given, err := c.list("starts", 1)
	if err != nil {
		return nil, err
	}
	ends, also, err := c.list("ends", 2)
	if err != nil {
		return nil, err
	}
	axes, named, err := c.axes(3)
	if err != nil {
		return nil, err
	}
	if !named {
		for i := range starts {
			axes = append(axes, i)
		}
	}
	steps, stepped, err := c.list("steps", 4)
	if err != nil {
		return nil, err
	}
	if !stepped {
		steps = slices.Repeat([]int{1}, len(starts))
	}
	if !given || !also || len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) || len(starts) > c.rank() {
		return nil, refuse("its starts, ends, axes and steps do not match: the file is damaged")
	}
	out := in.with(slices.Clone(in.dims))
	first, step := make([]int, c.rank()), slices.Repeat([]int{1}, c.rank())
	for i, a := range axes {
		n, s := in.dims[a], steps[i]
		if s == 0 {
			return nil, refuse("its step is 0: the file is damaged")
		}
		low, high := 0, n // of where it may begin and end
		if s < 0 {
			low, high = -1, n-1
		}
		start, end := starts[i], ends[i]
		if start < 0 {
			start += n
		}
		if end < 0 && end > math.MinInt32 {
			end += n
		}
		start, end = max(0, min(high, start)), max(low, min(high, end))
		first[a], step[a] = start, s
		if s > 0 {
			out.dims[a] = max(0, ceilDiv(end-start, s))
		} else {
			out.dims[a] = max(0, ceilDiv(start-end, -s))
		}
		if !in.holds(a) || out.dims[a] == n && s == 1 {
			continue
		}
		k := in.along(a)
		if k < 0 || s < 0 {
			return []*value{lose(c.spread(out, "turns the image, or cuts it along joined axes"))}, nil
		}
		at := func(j int) int { return start + j*s }
		out.span[k] = in.span[k].through(out.dims[a], window{at, at}, ratio{int64(s), 1}, ratio{int64(start), 1})
	}
	if in.data != nil {
		by := strides(in.dims)
		out.data = in.pick(out.dims, func(at []int) int {
			i := 0
			for k := range at {
				i += (first[k] + at[k]*step[k]) * by[k]
			}
			return i
		})
	}
	return []*value{out}, nil
}

// piece returns n elements of v along an axis, from start on.
func (c *call) piece(v *value, axis, start, n int) *value {
	out := v.with(resized(v.dims, axis, n))
	if k := v.along(axis); v.spatial() && k >= 0 {
		out.span[k] = v.span[k].shifted(n, start)
	} else if v.holds(axis) {
		out = lose(c.spread(out, "cuts the image along joined axes"))
	}
	if v.data != nil {
		by := strides(v.dims)
		out.data = v.pick(out.dims, func(at []int) int {
			i := start * by[axis]
			for k := range at {
				i += at[k] * by[k]
			}
			return i
		})
	}
	return out
}

func split(c *call) ([]*value, error) {
	in := c.in[0]
	a, err := c.axis(0, c.rank())
	if err != nil {
		return nil, err
	}
	sizes, given, err := c.list("split", 1)
	if err != nil {
		return nil, err
	}
	pieces := len(c.node.Outputs)
	if given && len(sizes) != pieces {
		return nil, refuse("it makes %d pieces for %d outputs: the file is damaged", len(sizes), pieces)
	}
	var out []*value
	each, start := ceilDiv(in.dims[a], max(pieces, 1)), 0
	for i := range pieces {
		n := min(each, in.dims[a]-start)
		if given {
			n = sizes[i]
		}
		if n < 0 || start+n > in.dims[a] {
			return nil, fmt.Errorf("it takes %d pixels or channels of %d", start+n, in.dims[a])
		}
		out = append(out, c.piece(in, a, start, n))
		start += n
	}
	return out, nil
}

func concat(c *call) ([]*value, error) {
	in := slices.DeleteFunc(slices.Clone(c.in), func(v *value) bool { return v == nil })
	rank := c.rank()
	a, err := c.axis(1, rank)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, v := range in {
		if len(v.dims) != rank {
			return nil, refuse("it joins tensors of %d and %d dimensions: the file is damaged", rank, len(v.dims))
		}
		n += v.dims[a]
		for i := range v.dims {
			if i != a && v.dims[i] != in[0].dims[i] {
				return nil, fmt.Errorf("sizes %d and %d do not fit together", in[0].dims[i], v.dims[i])
			}
		}
	}
	dims := resized(in[0].dims, a, n)
	if slices.ContainsFunc(in, func(v *value) bool { return v.holds(a) }) {
		return c.sideBySide(in, dims, a), nil
	}
	out, err := c.join(dims, in...)
	if err != nil {
		return nil, err
	}
	if !out.image && n <= mostElements {
		out.data = []float64{}
		for _, v := range in {
			if v.all() == nil || rank != 1 {
				out.data = nil
				break
			}
			out.data = append(out.data, v.all()...)
		}
	}
	return []*value{out}, nil
}

// sideBySide joins pieces along height or width: what padding by hand does. The largest is the image, the others are its padding.
func (c *call) sideBySide(in []*value, dims []int, axis int) []*value {
	var image *value
	start, at := 0, 0
	for _, v := range in {
		if v.holds(axis) && (image == nil || v.dims[axis] > image.dims[axis]) {
			image, at = v, start
		}
		start += v.dims[axis]
	}
	out := image.with(dims)
	k := image.along(axis)
	if k < 0 {
		return []*value{lose(c.spread(out, "joins images along rows that were made one axis"))}
	}
	out.span[k] = image.span[k].shifted(dims[axis], -at)
	for _, v := range in {
		out.taint(v)
	}
	return []*value{out}
}

func transpose(c *call) ([]*value, error) {
	in := c.in[0]
	perm := make([]int, c.rank())
	for i := range perm {
		perm[i] = len(perm) - 1 - i
	}
	if list := c.node.Ints("perm"); list != nil {
		if len(list) != len(perm) {
			return nil, refuse("it orders %d axes of %d: the file is damaged", len(list), len(perm))
		}
		for i, a := range list {
			perm[i] = int(max(-1, min(a, mostRank)))
		}
	}
	dims, by := make([]int, len(perm)), make([]int, len(perm))
	old := strides(in.dims)
	for i, a := range perm {
		if a < 0 || a >= len(perm) || slices.Contains(perm[:i], a) {
			return nil, refuse("it orders axes as %v: the file is damaged", perm)
		}
		dims[i], by[i] = in.dims[a], old[a]
	}
	out := in.rearranged(dims, func(axis int) int { return slices.Index(perm, axis) })
	if in.data != nil {
		out.data = in.pick(dims, func(at []int) int {
			i := 0
			for k := range at {
				i += at[k] * by[k]
			}
			return i
		})
	}
	return []*value{out}, nil
}

func reshape(c *call) ([]*value, error) {
	in := c.in[0]
	list, given, err := c.list("shape", 1)
	if err != nil || !given {
		if v := c.input(1); v != nil && v.size() == 0 {
			return c.shaped([]int{})
		}
		return nil, refuse("its shape depends on what the image shows: export the model without it")
	}
	dims := slices.Clone(list)
	free, n := -1, 1
	for i, d := range dims {
		switch {
		case d == -1 && free < 0:
			free = i
			continue
		case d == 0 && c.node.Int("allowzero", 0) == 0:
			if i >= c.rank() {
				return nil, refuse("shape %v of %v: the file is damaged", list, in.dims)
			}
			dims[i] = in.dims[i]
		case d < 0:
			return nil, refuse("shape %v: the file is damaged", list)
		}
		if dims[i] > 0 && n > mostSize/dims[i] {
			return nil, fmt.Errorf("%v does not make %v", in.dims, list)
		}
		n *= dims[i]
	}
	if free >= 0 {
		if n == 0 || in.size()%n != 0 {
			return nil, fmt.Errorf("%v does not make %v", in.dims, list)
		}
		dims[free] = in.size() / n
	}
	return c.shaped(dims)
}

func flatten(c *call) ([]*value, error) {
	a := int(max(-mostRank, min(mostRank, c.node.Int("axis", 1))))
	if a < 0 {
		a += c.rank()
	}
	if a < 0 || a > c.rank() {
		return nil, refuse("it has no axis %d: the file is damaged", a)
	}
	dims := []int{1, 1}
	for i, d := range c.in[0].dims {
		if i < a {
			dims[0] *= d
		} else {
			dims[1] *= d
		}
	}
	return c.shaped(dims)
}

// shaped gives the first input's elements, in their order, other dimensions. An axis is told by how many elements lie before it:
// height stays an axis, is split from the channels that follow it or joined to them.
func (c *call) shaped(dims []int) ([]*value, error) {
	in := c.in[0]
	out := in.with(dims)
	out.data = in.data
	if err := (&value{dims: dims}).check(); err != nil {
		return nil, err
	}
	if out.size() != in.size() {
		return nil, fmt.Errorf("%v does not make %v", in.dims, dims)
	}
	if !in.image {
		return []*value{out}, nil
	}
	if in.batch != 0 || len(dims) == 0 || dims[0] != in.dims[0] {
		out.batch = -1
	}
	if !in.spatial() {
		return []*value{out}, nil
	}
	fold := func() []*value {
		lost := lose(out)
		if lost.unbounded == "" {
			lost.unbounded, lost.folded = label(c.node)+" folds height and width into other axes, where pixels cannot be followed", true
		}
		return []*value{lost}
	}
	was, is := strides(in.dims), strides(dims)
	block := in.size()
	// axisAt returns the axis that n elements are joined from, in blocks of a size: -1 if there is none.
	axisAt := func(before int) int {
		n := 1
		for i, d := range dims {
			if n == before && d > 1 {
				return i
			}
			n *= d
		}
		return -1
	}
	if in.flat() { // apart again, or as they are
		a := in.axis[0]
		at := axisAt(block / (was[a] * in.dims[a]))
		h, w := in.span[0].n, in.span[1].n
		switch {
		case at >= 0 && dims[at] == h*w:
			out.axis = [2]int{at, at}
		case at >= 0 && dims[at] == h && at+1 < len(dims) && dims[at+1] == w:
			out.axis = [2]int{at, at + 1}
		default:
			return fold(), nil
		}
		return []*value{out}, nil
	}
	if h, w := in.axis[0], in.axis[1]; w == h+1 { // rows joined
		at := axisAt(block / (was[h] * in.dims[h]))
		if at >= 0 && dims[at] == in.dims[h]*in.dims[w] && in.dims[h] > 1 && in.dims[w] > 1 {
			out.axis = [2]int{at, at}
			return []*value{out}, nil
		}
	}
	for k, a := range in.axis {
		n := in.dims[a]
		at := axisAt(block / max(1, was[a]*n))
		if at < 0 {
			return fold(), nil
		}
		out.axis[k] = at
		switch {
		case is[at] == was[a] && dims[at] == n:
		case is[at] > was[a] && n%dims[at] == 0 && is[at] == was[a]*(n/dims[at]): // pixels become channels
			out.span[k] = in.span[k].joined(n / dims[at])
		case is[at] < was[a] && dims[at]%n == 0 && was[a] == is[at]*(dims[at]/n) && in.axis[1-k] != a+1: // channels become pixels
			out.span[k] = in.span[k].blocks(dims[at] / n)
		default:
			return fold(), nil
		}
	}
	if out.axis[0] == out.axis[1] {
		return fold(), nil
	}
	return []*value{out}, nil
}

func squeeze(c *call) ([]*value, error) {
	axes, given, err := c.axes(1)
	if err != nil {
		return nil, err
	}
	in := c.in[0]
	var dims, kept []int
	for i, d := range in.dims {
		if given && !slices.Contains(axes, i) || !given && d != 1 {
			dims, kept = append(dims, d), append(kept, i)
		} else if d != 1 {
			return nil, fmt.Errorf("axis %d is %d long", i, d)
		}
	}
	out := in.rearranged(dims, func(axis int) int { return slices.Index(kept, axis) })
	if out.data = in.data; in.spatial() && min(out.axis[0], out.axis[1]) < 0 {
		return []*value{lose(c.spread(out, "drops height or width"))}, nil
	}
	return []*value{out}, nil
}

func unsqueeze(c *call) ([]*value, error) {
	list, given, err := c.list("axes", 1)
	in := c.in[0]
	rank := c.rank() + len(list)
	if err != nil || !given || rank > mostRank {
		return nil, refuse("its axes cannot be followed")
	}
	dims := make([]int, rank)
	for _, a := range list {
		if a, err = axisOf(a, rank); err != nil {
			return nil, err
		}
		dims[a] = -1
	}
	var old []int // where each axis has gone
	for i := range dims {
		if dims[i] == -1 {
			dims[i] = 1
		} else if len(old) < c.rank() {
			dims[i] = in.dims[len(old)]
			old = append(old, i)
		}
	}
	if len(old) != c.rank() {
		return nil, refuse("axes %v: the file is damaged", list)
	}
	out := in.rearranged(dims, func(axis int) int { return old[axis] })
	out.data = in.data
	return []*value{out}, nil
}

func expand(c *call) ([]*value, error) {
	to := c.in[1].wholes()
	if to == nil {
		return nil, refuse("its size depends on what the image shows")
	}
	in := c.in[0]
	dims, err := broadcast(in, numbers(to))
	if err != nil {
		return nil, err
	}
	out := in.rearranged(dims, func(axis int) int { return axis + len(dims) - c.rank() })
	if in.data != nil {
		out.data = in.spreadTo(dims)
	}
	return []*value{out}, nil
}

func tile(c *call) ([]*value, error) {
	times := c.in[1].wholes()
	in := c.in[0]
	if len(times) != c.rank() {
		return nil, refuse("its repeats depend on what the image shows")
	}
	dims := slices.Clone(in.dims)
	out := in.with(dims)
	for a, n := range times {
		if n < 0 || n > math.MaxInt16 {
			return nil, refuse("it repeats %d times: the file is damaged", n)
		}
		dims[a] *= n
		if n != 1 && in.holds(a) {
			out = lose(c.spread(out, "repeats the image"))
		}
	}
	if in.data != nil {
		by := strides(in.dims)
		out.data = in.pick(dims, func(at []int) int {
			i := 0
			for k := range at {
				i += at[k] % max(in.dims[k], 1) * by[k]
			}
			return i
		})
	}
	return []*value{out}, nil
}

func gather(c *call) ([]*value, error) {
	in, which := c.in[0], c.in[1]
	a, err := c.axis(0, c.rank())
	if err != nil {
		return nil, err
	}
	dims := slices.Concat(in.dims[:a], which.dims, in.dims[a+1:])
	switch {
	case which.image && !in.image: // a table
		return []*value{which.rearranged(dims, func(axis int) int { return axis + a })}, nil
	case which.image, in.holds(a):
		return nil, refuse("it picks single rows or pixels: export the model without it")
	}
	out := in.rearranged(dims, func(axis int) int {
		switch {
		case axis < a:
			return axis
		case axis == a:
			return -1
		}
		return axis + len(which.dims) - 1
	})
	if list := which.wholes(); in.data != nil && list != nil {
		by := strides(in.dims)
		inner := strides(which.dims)
		out.data = in.pick(dims, func(at []int) int {
			i, k := 0, 0
			for axis, j := range at {
				switch {
				case axis < a:
					i += j * by[axis]
				case axis < a+len(which.dims):
					k += j * inner[axis-a]
				default:
					i += j * by[axis-len(which.dims)+1]
				}
			}
			at0 := list[k]
			if at0 < 0 {
				at0 += in.dims[a]
			}
			if at0 < 0 || at0 >= in.dims[a] {
				return -1
			}
			return i + at0*by[a]
		})
	}
	return []*value{out}, nil
}

func oneHot(c *call) ([]*value, error) {
	depth := c.in[1].wholes()
	a, err := c.axis(-1, c.rank()+1)
	if err != nil || len(depth) != 1 {
		return nil, refuse("its depth cannot be followed")
	}
	out := c.in[0].rearranged(slices.Insert(slices.Clone(c.in[0].dims), a, depth[0]), func(axis int) int {
		if axis >= a {
			axis++
		}
		return axis
	})
	out.kind = c.in[2].kind
	return []*value{out}, nil
}
