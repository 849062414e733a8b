module freeport.test/fpgo

go 1.16
