/** The commands behind {@code scripts/kudari}: they use the library as any program can. */
package kudari.cli;
