package tissue

import "microtome/internal/raster"

// dark turns on, in dark field, what is lighter than the ground in its strongest channel. The ground is the
// most frequent value among the dark ones, or the darkest fifth where that is less: a slide that is full
// of tissue has no peak of ground. It returns the light of the tissue above it.
func dark(found plane, m raster.RGB, void plane, recall Recall) Measure {
	strongest := func(i int) byte {
		c := m.Pix[3*i:][:3]
		return max(c[0], c[1], c[2])
	}
	var counts [256]int
	for i, v := range void.on {
		if !v {
			counts[strongest(i)]++
		}
	}
	n := total(&counts)
	if n == 0 {
		return Measure{}
	}
	ground := min(peak(&counts, 0, 80), max(quantile(&counts, 0.2), 1)) // 0 and 1 are one in JPEG
	// Noise goes as far up from the ground as it goes down.
	below := 0
	for v := range ground + 1 {
		below += counts[v]
	}
	noise, sum := 0, 0
	for v := range ground + 1 {
		if sum += counts[v]; 20*sum >= below {
			noise = ground - v
			break
		}
	}
	least := min(max(2*noise, 3), 8)
	at := ground + limit(recall, otsu(&counts)-ground, least, 10, 40)
	var lights [256]int
	for i, v := range void.on {
		if c := int(strongest(i)); !v && c > at {
			found.on[i] = true
			lights[c-ground]++
		}
	}
	stain := Measure{Value: float64(quantile(&lights, 0.5))}
	if total(&lights) > 0 && stain.Value < 2*float64(least) {
		stain.Warning = percent("the stain is very dim, %s of full scale above its ground: look at what comes out", stain.Value/255)
	}
	return stain
}

// limit returns how far above the ground tissue begins: at Otsu's threshold, but not below least, which is
// noise, and not above most (or the second for Strict), which is tissue for sure. A histogram of one peak,
// all glass or all tissue, has a threshold in its middle that means nothing; there the limits decide.
func limit(recall Recall, otsu, least, most, strict int) int {
	switch recall {
	case Safe:
		return least
	case Strict:
		most = strict
	}
	return min(max(otsu, least), max(least, most))
}
