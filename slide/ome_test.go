package slide

import (
	"math"
	"testing"
)

func TestReadOME(t *testing.T) {
	for name, c := range map[string]struct {
		xml             string
		x, y, objective float64
	}{
		"micrometres by default": {`<OME><Pixels PhysicalSizeX="0.25" PhysicalSizeY="0.26"/></OME>`, 0.25, 0.26, 0},
		"units":                  {`<OME><Pixels PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="0.00025" PhysicalSizeYUnit="mm"/></OME>`, 0.25, 0.25, 0},
		"a namespace":            {`<o:OME xmlns:o="x"><o:Pixels PhysicalSizeX="0.5" PhysicalSizeXUnit="µm"/></o:OME>`, 0.5, 0, 0},
		"objective":              {`<OME><Objective NominalMagnification="40"/><Objective NominalMagnification="4"/></OME>`, 0, 0, 40},
		"the first image counts": {`<OME><Pixels PhysicalSizeX="0.5"/><Pixels PhysicalSizeX="4"/></OME>`, 0.5, 0, 0},
		"pixels as a unit":       {`<OME><Pixels PhysicalSizeX="1" PhysicalSizeXUnit="pixel"/></OME>`, 0, 0, 0},
		"not a microscope's":     {`<OME><Pixels PhysicalSizeX="353"/></OME>`, 0, 0, 0},
		"nonsense":               {`<OME><Pixels PhysicalSizeX="NaN" PhysicalSizeY="-1"/><Objective NominalMagnification="Inf"/></OME>`, 0, 0, 0},
		"cut short":              {`<OME><Pixels PhysicalSizeX="0.5" PhysicalSizeY="0.5"><Chann`, 0.5, 0.5, 0},
		"not XML":                {`<OME <<<`, 0, 0, 0},
	} {
		if x, y, objective := readOME(c.xml); x != c.x || y != c.y || objective != c.objective {
			t.Errorf("%s: %g × %g µm, %g ×; want %g × %g, %g", name, x, y, objective, c.x, c.y, c.objective)
		}
	}
}

func FuzzReadOME(f *testing.F) {
	f.Add(`<?xml version="1.0"?><OME><Instrument><Objective NominalMagnification="20"/></Instrument><Pixels PhysicalSizeX="0.5" PhysicalSizeXUnit="µm"/></OME>`)
	f.Add(`<OME><Pixels PhysicalSizeX="1e999"`)
	f.Add(`<!DOCTYPE a [<!ENTITY b "c">]><OME>&b;</OME>`)
	f.Fuzz(func(t *testing.T, description string) {
		x, y, objective := readOME(description)
		for _, v := range []float64{x, y} {
			if v != 0 && v != plausible(v) {
				t.Errorf("%g µm", v)
			}
		}
		if !(objective >= 0) || math.IsInf(objective, 0) {
			t.Errorf("objective %g", objective)
		}
	})
}
