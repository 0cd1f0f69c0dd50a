/** The commands behind {@code scripts/kudari}: they use the library as anybody would. */
package kudari.cli;
