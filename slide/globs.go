package slide

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// FindConfig says which files in folders are slides to take. The zero value takes all of [Extensions].
//
// Patterns are globs: * and ? stand for anything but a /, ** for any folders, [a-z] for one character,
// {a,b} for either. They are matched against the path below the given folder, with / between its parts
// on every system, and capitals count as small letters. A pattern without a / is matched against
// the name alone, at any depth.
type FindConfig struct {
	// Include are patterns of files, of which one must match; none: all files. A pattern that ends in *,
	// such as siteA/**, takes those of Extensions; any other says itself what a slide is, such as *.bmp.
	Include []string
	// Exclude are patterns of files and folders that are passed over, with all that is in them.
	Exclude []string
}

// Validate reports every malformed pattern, in the words of the command line.
func (c FindConfig) Validate() error {
	var errs []error
	check := func(flag string, patterns []string) {
		for _, p := range patterns {
			switch {
			case strings.Trim(p, "./") == "":
				errs = append(errs, fmt.Errorf("%s %q: give a pattern such as '*.svs' or 'siteA/**'", flag, p))
			case slices.Contains(strings.Split(p, "/"), ".."):
				errs = append(errs, fmt.Errorf("%s %q: a pattern with .. matches nothing: give one for what lies below the folder", flag, p))
			case !doublestar.ValidatePattern(p):
				errs = append(errs, fmt.Errorf("%s %q: not a pattern: close each [ and {, or put a \\ before what is meant as it is", flag, p))
			}
		}
	}
	check("--include", c.Include)
	check("--exclude", c.Exclude)
	return errors.Join(errs...)
}

// A glob is a pattern made ready.
type glob struct {
	pattern  string // in small letters
	anchored bool   // of the whole path below the folder, not of the name alone
	closed   bool   // says how a name ends
}

func compile(patterns []string) []glob {
	var globs []glob
	for _, p := range patterns {
		p = strings.TrimRight(folded(p), "/")
		globs = append(globs, glob{
			pattern:  strings.TrimPrefix(strings.TrimPrefix(p, "./"), "/"),
			anchored: strings.Contains(p, "/"),
			closed:   !strings.HasSuffix(p, "*"),
		})
	}
	return globs
}

// match reports whether g matches a path below the folder.
func (g glob) match(rel string) bool {
	if !g.anchored {
		rel = rel[strings.LastIndexByte(rel, '/')+1:]
	}
	return doublestar.MatchUnvalidated(g.pattern, folded(rel))
}

func matches(globs []glob, rel string) bool {
	return slices.ContainsFunc(globs, func(g glob) bool { return g.match(rel) })
}

func anchored(globs []glob) bool {
	return slices.ContainsFunc(globs, func(g glob) bool { return g.anchored })
}
