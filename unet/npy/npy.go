package npy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// An Array is a tensor of numbers in C order.
type Array struct {
	Shape  []int
	Values []float32
}

var errFormat = errors.New("not a NumPy file, or a damaged one: save the array again with numpy.save")

const magic = "\x93NUMPY"

var (
	descr   = regexp.MustCompile(`'descr'\s*:\s*'([<>|=])([fiub])(\d)'`)
	fortran = regexp.MustCompile(`'fortran_order'\s*:\s*(True|False)`)
	shape   = regexp.MustCompile(`'shape'\s*:\s*\(([\d,\s]*)\)`)
)

// Decode reads an array of numbers of any usual type.
func Decode(data []byte) (Array, error) {
	if len(data) < 12 || string(data[:6]) != magic {
		return Array{}, errFormat
	}
	at, size := 10, int(binary.LittleEndian.Uint16(data[8:]))
	if data[6] > 1 { // versions 2 and 3: a longer header
		at, size = 12, int(binary.LittleEndian.Uint32(data[8:]))
	}
	if size < 0 || size > len(data)-at {
		return Array{}, errFormat
	}
	header, body := data[at:at+size], data[at+size:]
	kind, order, dims := descr.FindSubmatch(header), fortran.FindSubmatch(header), shape.FindSubmatch(header)
	if kind == nil || order == nil || dims == nil {
		return Array{}, errFormat
	}
	var a Array
	n := 1
	for text := range strings.SplitSeq(string(dims[1]), ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		d, err := strconv.Atoi(text)
		if err != nil || d > 0 && n > len(body)/d {
			return Array{}, errFormat
		}
		a.Shape, n = append(a.Shape, d), n*d
	}
	if string(order[1]) == "True" && len(a.Shape) > 1 {
		return Array{}, errors.New("the array is in Fortran order: save numpy.ascontiguousarray of it")
	}
	var bytes binary.ByteOrder = binary.LittleEndian
	if kind[1][0] == '>' {
		bytes = binary.BigEndian
	}
	width := int(kind[3][0] - '0')
	read := reader(kind[2][0], width, bytes)
	if read == nil {
		return Array{}, fmt.Errorf("the array is of type %s%s: save it as float32", kind[2], kind[3])
	}
	if len(body) < n*width {
		return Array{}, errFormat
	}
	a.Values = make([]float32, n)
	for i := range a.Values {
		a.Values[i] = float32(read(body[i*width:]))
	}
	return a, nil
}

// reader returns what reads one number.
func reader(kind byte, width int, order binary.ByteOrder) func([]byte) float64 {
	switch {
	case kind == 'f' && width == 2:
		return func(b []byte) float64 { return half(order.Uint16(b)) }
	case kind == 'f' && width == 4:
		return func(b []byte) float64 { return float64(math.Float32frombits(order.Uint32(b))) }
	case kind == 'f' && width == 8:
		return func(b []byte) float64 { return math.Float64frombits(order.Uint64(b)) }
	case kind == 'i' && width == 1:
		return func(b []byte) float64 { return float64(int8(b[0])) }
	case kind == 'i' && width == 2:
		return func(b []byte) float64 { return float64(int16(order.Uint16(b))) }
	case kind == 'i' && width == 4:
		return func(b []byte) float64 { return float64(int32(order.Uint32(b))) }
	case kind == 'i' && width == 8:
		return func(b []byte) float64 { return float64(int64(order.Uint64(b))) }
	case (kind == 'u' || kind == 'b') && width == 1:
		return func(b []byte) float64 { return float64(b[0]) }
	case kind == 'u' && width == 2:
		return func(b []byte) float64 { return float64(order.Uint16(b)) }
	case kind == 'u' && width == 4:
		return func(b []byte) float64 { return float64(order.Uint32(b)) }
	}
	return nil
}

// half returns the value of a float of 16 bits.
func half(h uint16) float64 {
	sign, exponent, fraction := 1.0, int(h>>10&31), float64(h&1023)
	if h>>15 != 0 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

// Encode writes an array of float32 or uint8.
func Encode[T float32 | uint8](dims []int, values []T) []byte {
	kind := "<f4"
	if _, ok := any(values).([]uint8); ok {
		kind = "|u1"
	}
	var text strings.Builder
	for _, d := range dims {
		fmt.Fprintf(&text, "%d,", d) // a tuple of one ends in a comma, and any may
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", kind, text.String())
	for (10+len(header)+1)%64 != 0 {
		header += " "
	}
	header += "\n"
	out := append([]byte(magic), 1, 0)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(header)))
	out = append(out, header...)
	out, _ = binary.Append(out, binary.LittleEndian, values) // of numbers of a fixed size
	return out
}
