// Package train trains U-Nets as Ronneberger, Fischer and Brox did in 2015: on tiles that are shifted, turned, stretched and
// stained anew each time, with a loss that weighs the gaps between touching instances.
package train
