package synthetic

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// An ellipse is a row of a table of nuclei.
type ellipse struct{ x, y, long, short, angle float64 }

func readTable(t *testing.T, path string) (rows []ellipse) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil || strings.Join(lines[0], ",")+"\n" != header {
		t.Fatalf("header %v, %v", lines[0], err)
	}
	for i, line := range lines[1:] {
		var v [7]float64
		for k := range v {
			if v[k], err = strconv.ParseFloat(line[k], 64); err != nil {
				t.Fatal(err)
			}
		}
		if int(v[0]) != i+1 || v[4] > v[3] || v[6] <= 0 {
			t.Fatalf("row %d: %v", i+1, line)
		}
		rows = append(rows, ellipse{v[1], v[2], v[3], v[4], v[5]})
	}
	return rows
}

// TestTableIsTheMask: the ellipses of the table, drawn by their definition, are the mask to the pixel. Some
// overlap, some touch, all can be seen, and they have many sizes.
func TestTableIsTheMask(t *testing.T) {
	for _, c := range []Config{{Size: 300, Seed: 2}, {Size: 1500, Seed: 9}, {Size: 3200, Seed: 4}} {
		_, truthPath := write(t, c)
		mask := channel(t, truthPath)
		instance := make([]int, len(mask)) // the last row on top
		overlaps, touches := 0, 0
		sizes := map[float64]bool{}
		rows := readTable(t, TableOf(truthPath))
		for i, e := range rows {
			sin, cos := math.Sincos(e.angle * math.Pi / 180)
			drawn := 0
			for y := max(0, int(e.y-e.long)-1); y <= min(c.Size-1, int(e.y+e.long)+1); y++ {
				for x := max(0, int(e.x-e.long)-1); x <= min(c.Size-1, int(e.x+e.long)+1); x++ {
					dx, dy := float64(x)+0.5-e.x, float64(y)+0.5-e.y
					if math.Hypot((dx*cos+dy*sin)/e.long, (dy*cos-dx*sin)/e.short) > 1 {
						continue
					}
					if instance[y*c.Size+x] > 0 {
						overlaps++
					}
					instance[y*c.Size+x] = i + 1
					drawn++
				}
			}
			if drawn == 0 {
				t.Errorf("nucleus %d has no pixel", i+1)
			}
			sizes[e.long] = true
		}
		wrong := 0
		for i, id := range instance {
			if (id > 0) != (mask[i] == 1) {
				wrong++
			}
			if i%c.Size > 0 && id > 0 && instance[i-1] > 0 && instance[i-1] != id {
				touches++
			}
		}
		if wrong > 0 {
			t.Errorf("size %d: %d pixels of %d nuclei differ between table and mask", c.Size, wrong, len(rows))
		}
		if c.Size > 1000 && (overlaps == 0 || touches == 0 || len(sizes) < 10) {
			t.Errorf("size %d: %d pixels overlap, %d touch, %d sizes", c.Size, overlaps, touches, len(sizes))
		}
	}
}
