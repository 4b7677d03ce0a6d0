package tissue_test

import (
	"image"
	"math"
	"strings"
	"testing"

	"microtome/slide"
	"microtome/slide/slidetest"
	"microtome/slide/tissue"
)

// A scene is a made-up slide of 0.25 µm a pixel; lengths are in µm.
type scene struct {
	ground [3]float64               // colour without tissue
	stain  [3]float64               // mean colour of tissue
	rough  float64                  // how far tissue goes up and down, grey levels
	noise  float64                  // of the camera, on ground and tissue
	tissue func(x, y float64) bool  // nil: none
	over   func(x, y float64) layer // ink, unscanned parts; nil: none
}

// A layer hides what is below when it is opaque, or multiplies with it.
type layer struct {
	color  [3]float64
	opaque bool
	there  bool
}

var sceneSize = image.Pt(24576, 16384) // 6.1 × 4.1 mm: 768 × 512 cells of 8 µm

// hash is noise from -1 to 1.
func hash(x, y, salt int) float64 {
	p := slidetest.Noise(salt, x, y)
	return float64(int(p[0])<<8|int(p[1]))/32768 - 1
}

func (s scene) pixel(downsample func(level int) float64) slidetest.Pixel {
	return func(level, px, py int) (out [3]byte) {
		d := downsample(level)
		x, y := (float64(px)+0.5)*d/4, (float64(py)+0.5)*d/4
		var over layer
		if s.over != nil {
			over = s.over(x, y)
		}
		c := s.ground
		if s.tissue != nil && s.tissue(x, y) {
			c = s.stain
			wave := s.rough * (hash(px, py, 7) + hash(int(x/12), int(y/12), 8)) / 2
			for k := range c {
				c[k] += wave
			}
		}
		for k := range c {
			c[k] += s.noise * hash(px, py, 9+k)
			if over.there && over.opaque {
				c[k] = over.color[k]
			} else if over.there {
				c[k] *= over.color[k] / 255
			}
			out[k] = byte(min(max(math.Round(c[k]), 0), 255))
		}
		return out
	}
}

func (s scene) view(t testing.TB) *slide.View {
	t.Helper()
	downsamples := []float64{1, 2, 32}
	fake := slidetest.NewFake(s.pixel(func(level int) float64 { return downsamples[level] }), sceneSize, image.Pt(64, 64), downsamples...)
	v, err := slide.New(fake, slide.Config{CacheBytes: 8 << 20}).AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ellipse is a piece of tissue of half-axes a and b.
func ellipse(x0, y0, a, b float64) func(x, y float64) bool {
	return func(x, y float64) bool {
		x, y = (x-x0)/a, (y-y0)/b
		return x*x+y*y < 1
	}
}

func either(shapes ...func(x, y float64) bool) func(x, y float64) bool {
	return func(x, y float64) bool {
		for _, s := range shapes {
			if s(x, y) {
				return true
			}
		}
		return false
	}
}

func inside(x0, y0, x1, y1 float64) func(x, y float64) bool {
	return func(x, y float64) bool { return x >= x0 && x < x1 && y >= y0 && y < y1 }
}

// within covers a shape with a colour.
func within(shape func(x, y float64) bool, opaque bool, r, g, b float64) func(x, y float64) layer {
	return func(x, y float64) layer { return layer{[3]float64{r, g, b}, opaque, shape(x, y)} }
}

// ring is a pen's stroke around a place.
func ring(x0, y0, r, width float64) func(x, y float64) bool {
	return func(x, y float64) bool { return math.Abs(math.Hypot(x-x0, y-y0)-r) < width/2 }
}

// check samples the slide: all tissue must be found, and of what is farther than reach µm from any, at most
// the share false.
func check(t *testing.T, s scene, found *tissue.Tissue, reach, most float64) {
	t.Helper()
	lost, all, extra, far := 0, 0, 0, 0
	var at image.Point
	for y := 8; y < sceneSize.Y; y += 64 {
		for x := 8; x < sceneSize.X; x += 64 {
			ux, uy := (float64(x)+0.5)/4, (float64(y)+0.5)/4
			is := s.tissue != nil && s.tissue(ux, uy)
			if s.over != nil && is {
				if o := s.over(ux, uy); o.there && o.opaque && max(o.color[0], o.color[1], o.color[2]) < 10 {
					is = false // not scanned
				}
			}
			switch has := found.Contains(x, y); {
			case is:
				if all++; !has {
					lost++
					at = image.Pt(x, y)
				}
			case s.tissue == nil || !near(s.tissue, ux, uy, reach):
				if far++; has {
					extra++
				}
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d places of tissue are lost, one at %v", lost, all, at)
	}
	if float64(extra) > most*float64(far) {
		t.Errorf("%d of %d places far from tissue count as tissue", extra, far)
	}
}

// near reports whether a shape is within reach of a place.
func near(shape func(x, y float64) bool, x, y, reach float64) bool {
	for k := range 24 {
		sin, cos := math.Sincos(float64(k) * math.Pi / 12)
		for r := reach / 6; r <= reach; r += reach / 6 {
			if shape(x+r*cos, y+r*sin) {
				return true
			}
		}
	}
	return false
}

func TestScenes(t *testing.T) {
	middle := ellipse(3000, 2000, 900, 700)
	white, pink := [3]float64{243, 241, 244}, [3]float64{205, 140, 190}
	usual := scene{ground: white, stain: pink, rough: 40, noise: 2, tissue: middle}
	with := func(change func(*scene)) scene {
		s := usual
		change(&s)
		return s
	}
	for name, c := range map[string]struct {
		scene
		field tissue.Field // Bright when 0
		reach float64      // 90 µm when 0: the margin and its rounding
		most  float64
		pen   bool
		stain string
	}{
		"usual":              {scene: usual},
		"pale":               {scene: with(func(s *scene) { s.stain, s.rough = [3]float64{238, 222, 238}, 6 }), stain: "very pale"},
		"hardly stained":     {scene: with(func(s *scene) { s.stain, s.rough = [3]float64{232, 228, 234}, 3 }), stain: "very pale"},
		"a dark immunostain": {scene: with(func(s *scene) { s.stain = [3]float64{90, 55, 35} })},
		"blue and dim glass": {scene: with(func(s *scene) { s.ground, s.stain = [3]float64{214, 216, 228}, [3]float64{170, 185, 205} })},
		"dark next to pale": {scene: with(func(s *scene) {
			s.tissue = either(middle, ellipse(1000, 1000, 300, 300))
			s.over = within(middle, false, 90, 50, 90)
			s.stain, s.rough = [3]float64{232, 220, 234}, 6
		})},
		"noise of the camera": {scene: with(func(s *scene) { s.noise = 7 }), most: 0.02},
		"at the edges": {scene: with(func(s *scene) {
			s.tissue = either(inside(0, 1500, 500, 2500), inside(3000, 0, 4000, 120), ellipse(6144, 4096, 700, 700))
		})},
		"thin threads": {scene: with(func(s *scene) {
			s.tissue = either(inside(1000, 500, 5000, 512), inside(2000, 800, 2012, 3500))
		}), most: 0.0001}, // near looks along rays, and misses threads
		"a shaded ground": {scene: with(func(s *scene) {
			s.over = func(x, _ float64) layer { // as seams of a scanner: 3 % darker in every other field
				g := 255 - 7*float64(int(x/512)%2)
				return layer{[3]float64{g, g, g}, false, true}
			}
		})},
		"no glass": {scene: with(func(s *scene) { s.tissue = func(float64, float64) bool { return true } })},
		"no glass, pale": {scene: with(func(s *scene) {
			s.stain, s.rough, s.tissue = [3]float64{228, 205, 226}, 24, func(float64, float64) bool { return true }
		})},
		"white painted around what was scanned": {scene: with(func(s *scene) {
			scanned := inside(1800, 1100, 4200, 2900)
			s.over = func(x, y float64) layer { return layer{[3]float64{255, 255, 255}, true, !scanned(x, y)} }
		})},
		"a black border": {scene: with(func(s *scene) {
			s.over = func(x, y float64) layer { return layer{[3]float64{2, 2, 2}, true, !inside(300, 250, 5800, 3900)(x, y)} }
		})},
		"tissue up to a black border": {scene: with(func(s *scene) {
			s.over = func(x, y float64) layer {
				return layer{[3]float64{0, 0, 0}, true, !inside(2500, 1500, 5800, 3900)(x, y)}
			}
		}), reach: 120},
		"mostly black": {scene: with(func(s *scene) {
			s.over = func(x, y float64) layer {
				return layer{[3]float64{0, 0, 0}, true, !inside(1800, 1100, 4200, 2900)(x, y)}
			}
		})},
		"a black rectangle": {scene: with(func(s *scene) { s.over = within(inside(300, 300, 1000, 900), true, 0, 0, 0) })},
		"green ink":         {scene: with(func(s *scene) { s.over = within(ring(3000, 2000, 1700, 350), false, 30, 160, 90) }), pen: true, reach: 600},
		"blue ink":          {scene: with(func(s *scene) { s.over = within(ring(3000, 2000, 1700, 350), false, 30, 60, 190) }), pen: true, reach: 600},
		"red ink":           {scene: with(func(s *scene) { s.over = within(ring(3000, 2000, 1700, 350), false, 245, 40, 45) }), pen: true, reach: 600},
		"black ink":         {scene: with(func(s *scene) { s.over = within(ring(3000, 2000, 1700, 350), false, 25, 25, 30) }), pen: true, reach: 600},
		"ink over tissue": {scene: with(func(s *scene) {
			s.over = within(inside(0, 1900, 6144, 2200), false, 30, 160, 90)
		}), pen: true, reach: 600},
		"fluorescence": {field: tissue.Dark, scene: with(func(s *scene) {
			s.ground, s.stain, s.rough, s.noise = [3]float64{3, 3, 6}, [3]float64{3, 6, 90}, 60, 2
		})},
		"dim fluorescence": {field: tissue.Dark, scene: with(func(s *scene) {
			s.ground, s.stain, s.rough, s.noise = [3]float64{2, 2, 2}, [3]float64{11, 11, 11}, 3, 1
		})},
		"very dim fluorescence": {field: tissue.Dark, scene: with(func(s *scene) {
			s.ground, s.stain, s.rough, s.noise = [3]float64{1, 1, 1}, [3]float64{6, 6, 6}, 0.5, 0.4
		}), stain: "very dim"},
		"bright fluorescence on black": {field: tissue.Dark, scene: with(func(s *scene) {
			s.ground, s.stain, s.rough, s.noise = [3]float64{0, 0, 0}, [3]float64{200, 200, 200}, 100, 0
		})},
		"fluorescence on a light ground, part of it not scanned": {field: tissue.Dark, scene: with(func(s *scene) {
			s.ground, s.stain, s.rough, s.noise = [3]float64{22, 22, 22}, [3]float64{70, 40, 60}, 40, 3
			s.over = func(x, y float64) layer {
				return layer{[3]float64{0, 0, 0}, true, !inside(1800, 1100, 4200, 2900)(x, y)}
			}
		})},
		"fluorescence everywhere": {field: tissue.Dark, scene: with(func(s *scene) {
			s.stain, s.rough, s.noise = [3]float64{10, 60, 20}, 110, 2
			s.tissue = func(float64, float64) bool { return true }
		})},
	} {
		t.Run(name, func(t *testing.T) {
			v := c.view(t)
			found := find(t, v, tissue.NewDefaultConfig())
			look(t, v, found, "scene "+name)
			want := max(c.field, tissue.Bright)
			if found.Field != want {
				t.Errorf("it looks like %v field", found.Field)
			}
			if c.reach == 0 {
				c.reach = 90
			}
			check(t, c.scene, found, c.reach, c.most)
			if (found.Pen.Value > 0) != c.pen || (found.Pen.Warning != "") != c.pen {
				t.Errorf("pen %+v", found.Pen)
			}
			if has := found.Stain.Warning; (has == "") != (c.stain == "") || !strings.Contains(has, c.stain) {
				t.Errorf("stain %+v", found.Stain)
			}
			t.Logf("found %.3f stain %.3f focus %.3f pen %.4f", found.Found.Value, found.Stain.Value, found.Focus.Value, found.Pen.Value)
		})
	}
}

// With specks of up to 100 µm² dust of one cell is dropped, two cells of blood side by side are not; a hole is filled up to the stated area.
func TestSpecksAndHoles(t *testing.T) {
	dust, blood := inside(1000, 1000, 1006, 1006), inside(2000, 1000, 2016, 1016)
	small, large := ellipse(3000, 2000, 100, 100), ellipse(4200, 2000, 300, 300)
	s := scene{ground: [3]float64{243, 241, 244}, stain: [3]float64{205, 140, 190}, rough: 40, noise: 2, tissue: func(x, y float64) bool {
		return dust(x, y) || blood(x, y) || inside(2600, 1400, 4800, 2600)(x, y) && !small(x, y) && !large(x, y)
	}}
	cfg := tissue.NewDefaultConfig()
	cfg.Margin, cfg.Speck = 0, 100
	found := find(t, s.view(t), cfg)
	for _, c := range []struct {
		name string
		x, y int
		want bool
	}{{"dust", 1003, 1003, false}, {"blood", 2008, 1008, true}, {"a small hole", 3000, 2000, true}, {"a large hole", 4200, 2000, false}} {
		if found.Contains(4*c.x, 4*c.y) != c.want {
			t.Errorf("%s: tissue is %v", c.name, !c.want)
		}
	}
	cfg.Speck, cfg.Hole = 0, 1e6
	found = find(t, s.view(t), cfg)
	if !found.Contains(4*1003, 4*1003) || !found.Contains(4*4200, 4*2000) {
		t.Error("the rules for specks and holes do not go by Config")
	}
}

// Of a slide that is all glass nothing is tissue, whatever its noise, and somebody is told.
func TestAllGlass(t *testing.T) {
	for name, s := range map[string]scene{
		"clean":          {ground: [3]float64{255, 255, 255}},
		"noise":          {ground: [3]float64{240, 238, 242}, noise: 3},
		"tinted":         {ground: [3]float64{225, 222, 235}, noise: 2},
		"dark field":     {ground: [3]float64{5, 5, 5}, noise: 2},
		"dark, no noise": {},
	} {
		found := find(t, s.view(t), tissue.NewDefaultConfig())
		if found.Found.Value != 0 || !strings.Contains(found.Found.Warning, "no tissue") || !found.Bounds().Empty() {
			t.Errorf("%s: %+v in %v", name, found.Found, found.Bounds())
		}
	}
}

// Everything nearer than the margin to what is found without is found.
func TestMargin(t *testing.T) {
	s := scene{ground: [3]float64{243, 241, 244}, stain: [3]float64{205, 140, 190}, rough: 40, noise: 2, tissue: either(ellipse(3000, 2000, 500, 300), inside(0, 0, 40, 30))}
	v := s.view(t)
	cfg := tissue.NewDefaultConfig()
	cfg.Hole = 0
	cfg.Margin = 0
	bare := find(t, v, cfg)
	for _, margin := range []float64{5, 50, 333} {
		cfg.Margin = margin
		found := find(t, v, cfg)
		for y := 3; y < sceneSize.Y; y += 97 {
			for x := 3; x < sceneSize.X; x += 97 {
				if !bare.Contains(x, y) {
					continue
				}
				for k := range 16 {
					sin, cos := math.Sincos(float64(k) * math.Pi / 8)
					at := image.Pt(x+int(4*0.999*margin*cos), y+int(4*0.999*margin*sin))
					if at.In(image.Rectangle{Max: sceneSize}) && !found.Contains(at.X, at.Y) {
						t.Fatalf("margin %g µm: %v is near (%d, %d) and lost", margin, at, x, y)
					}
				}
			}
		}
		if area := found.Pixels(image.Rectangle{Max: sceneSize}) - bare.Pixels(image.Rectangle{Max: sceneSize}); float64(area) > 16*(2800+300+7*margin)*(margin+20) {
			t.Errorf("margin %g µm adds %d pixels", margin, area)
		}
	}
}
