package raster

// Connectivity says which pixels are neighbours.
type Connectivity int

// Neighbours are the pixels to the left, to the right, above and below, or also those along the diagonals.
const (
	Four  Connectivity = 4
	Eight Connectivity = 8
)

// A stretch is a run of pixels of one value in one row: columns [from, to).
type stretch struct{ from, to, parent int32 }

// Components returns the connected components of pixels of equal value in an image of w × h pixels, row by
// row, numbered 1, 2, … in raster order of their first pixels, and how many there are. The zero value is
// background. A []bool is a mask; in an image of instances or of classes, neighbours of different value
// are different components. It joins the runs of neighbouring rows by union-find: time is linear in the
// pixels but for the inverse Ackermann function of the runs.
func Components[T comparable](pix []T, w, h int, c Connectivity) (Labels, int) {
	var zero T
	var runs []stretch
	find := func(i int32) int32 {
		for runs[i].parent != i {
			runs[i].parent = runs[runs[i].parent].parent
			i = runs[i].parent
		}
		return i
	}
	reach := int32(0) // how far beyond its ends a run meets runs of the next row
	if c == Eight {
		reach = 1
	}
	above, first := 0, 0 // runs[above:first] are the row above
	for y := range h {
		row := pix[y*w : (y+1)*w]
		for x := 0; x < w; {
			v, from := row[x], x
			for x++; x < w && row[x] == v; x++ {
			}
			if v == zero {
				continue
			}
			r := stretch{int32(from), int32(x), int32(len(runs))}
			runs = append(runs, r)
			for above < first && runs[above].to+reach <= r.from {
				above++
			}
			for k := above; k < first && runs[k].from < r.to+reach; k++ {
				if pix[(y-1)*w+int(runs[k].from)] != v {
					continue
				}
				// The earlier run is the root, so that a root is the first run of its component.
				a, b := find(int32(k)), find(r.parent)
				runs[max(a, b)].parent = min(a, b)
			}
		}
		above, first = first, len(runs)
	}

	out, n := NewLabels(w, h), 0
	number := make([]uint32, len(runs))
	k := 0
	for y := range h {
		for x := 0; x < w; {
			if pix[y*w+x] == zero {
				x++
				continue
			}
			if root := find(int32(k)); int(root) == k {
				n++
				number[k] = uint32(n)
			} else {
				number[k] = number[root]
			}
			for ; x < int(runs[k].to); x++ {
				out.Pix[y*w+x] = number[k]
			}
			k++
		}
	}
	return out, n
}
