#!/usr/bin/perl
# What Doxygen reads instead of a header: several members declared on one line share its comment, which Doxygen gives to
# one of them only; and members that are `= default` say all there is to say.
use strict;
use warnings;

my $inside = 0;    # a specialisation for fmt, whose primary template Doxygen does not see
my @comment;    # /// lines that wait for what they are about
while (my $line = <>) {
    $inside = 1 if $line =~ /^struct fmt::formatter</;
    if ($inside) {
        $inside = 0 if $line =~ /^};/;
        print "\n";
        next;
    }
    if ($line =~ m{^\s*///(?!<)}) {
        push @comment, $line;
        next;
    }
    my $before = join '', @comment;
    @comment = ();
    if ($line =~ /^\s*(?!template)\S.*=\s*default;/) {
        print "\n" x (1 + ($before =~ tr/\n//));
        next;
    }
    # type name [= value | {value}], name ..., name;  [///< comment]
    if ($line =~ m{^(\s+)((?:const\s+)?[A-Za-z_][\w:]*(?:<[^;=()]*>)?[\s*&]+)([^;()]+);\s*(///<.*)?$}
        && $2 !~ /^(?:return|using|typename|delete|goto|throw|friend|struct|class)\b/)
    {
        my ($indent, $type, $list, $after) = ($1, $2, $3, $4 // '');
        my ($depth, @names) = (0, '');
        for my $letter (split //, $list) {
            $depth += $letter =~ /[<{\[]/ ? 1 : $letter =~ /[>}\]]/ ? -1 : 0;
            if ($letter eq ',' && $depth == 0) { push @names, '' }
            else                               { $names[-1] .= $letter }
        }
        if (@names > 1 && !grep { !/^\s*\*?\w+\s*(?:=.*|\{.*\})?$/ } @names) {
            # On one line, so that the lines keep their numbers.
            $before =~ s/\n/ /g, $before =~ s{^\s*///\s*|\s///\s*}{ }g;
            my $text = $before . ($after =~ s{^///<\s*}{}r);
            $text =~ s/^\s+|\s+$//g;
            print "\n" x scalar(() = $before =~ /\n/g);
            print $indent . join(' ', map { s/^\s+//r =~ s{^}{($text eq '' ? '' : "/** $text */ ") . $type}re . ';' } @names) . "\n";
            next;
        }
    }
    print $before, $line;
}
print @comment;
