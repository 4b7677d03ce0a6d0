package raster

// Number writes the instances of l to dst, one number a pixel, numbered anew 1, 2, … in raster order of
// their first pixels. It returns the number that each had in l: of[1] is the old number of instance 1, and
// of[0] is 0, the background. Numbers in l may be any; dst may be l.Pix.
func (l Labels) Number(dst []uint32) (of []uint32) {
	of = []uint32{0}
	known := map[uint32]uint32{0: 0}
	var last, number uint32 // the map is asked once a run, not once a pixel
	for i, v := range l.Pix {
		if v != last {
			n, ok := known[v]
			if !ok {
				n = uint32(len(of))
				known[v] = n
				of = append(of, v)
			}
			last, number = v, n
		}
		dst[i] = number
	}
	return of
}
